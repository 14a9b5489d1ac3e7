//! Known services, and the requests with which their users publish something or make new credentials.
//!
//! To add one: where it is, and for each kind of request one method and one path as its documentation writes it, with
//! placeholder names (`OWNER`, `REPO`). A rule is warned of if it lets that very request pass with a credential; rules
//! that name their own paths (`/repos/acme/**`) don't match a placeholder, and are left alone. Whatever a service offers
//! beyond these lines is not known here: a missing warning means nothing.

/// A service.
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) at: At,
    pub(super) doors: &'static [Door],
}

/// Where a service is.
pub(super) enum At {
    /// At these names.
    Names(&'static [&'static str]),
    /// At any name whose first label is one of these: mirrors and self-hosted ones have names of their own.
    FirstLabels(&'static [&'static str]),
}

/// A request.
pub(super) struct Door {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// What an agent can do with it: "publish a gist".
    pub(super) what: &'static str,
}

const fn door(method: &'static str, path: &'static str, what: &'static str) -> Door {
    Door { method, path, what }
}

pub(super) const SERVICES: &[Service] = &[
    Service {
        name: "GitHub",
        at: At::Names(&["api.github.com"]),
        doors: &[
            door("POST", "/gists", "publish a gist"),
            door("POST", "/user/keys", "add an SSH key to the account"),
            door("POST", "/user/repos", "make a repository"),
            door("POST", "/repos/OWNER/REPO/issues", "write an issue in any repository"),
            door("POST", "/repos/OWNER/REPO/issues/NUMBER/comments", "write a comment in any repository"),
            door("POST", "/repos/OWNER/REPO/forks", "fork a repository"),
            door("POST", "/repos/OWNER/REPO/hooks", "send events of a repository elsewhere"),
            door("POST", "/repos/OWNER/REPO/keys", "add a deploy key to a repository"),
            door("PUT", "/repos/OWNER/REPO/contents/PATH", "write a file in any repository"),
            door("PUT", "/repos/OWNER/REPO/actions/secrets/NAME", "set a secret of a repository"),
            door("POST", "/repos/OWNER/REPO/actions/runners/registration-token", "make a runner's token"),
            door("POST", "/app/installations/ID/access_tokens", "make an installation token"),
            door("POST", "/graphql", "do all of this by GraphQL"),
        ],
    },
    Service {
        name: "GitHub",
        at: At::Names(&["github.com"]),
        doors: &[
            door("POST", "/OWNER/REPO.git/git-receive-pack", "push to any repository"),
            door("POST", "/login/oauth/access_token", "make an access token"),
        ],
    },
    Service {
        name: "GitHub",
        at: At::Names(&["gist.github.com"]),
        doors: &[door("POST", "/ID.git/git-receive-pack", "push to a gist")],
    },
    Service {
        name: "GitHub",
        at: At::Names(&["uploads.github.com"]),
        doors: &[door("POST", "/repos/OWNER/REPO/releases/ID/assets", "publish a file with a release")],
    },
    Service {
        name: "GitLab",
        at: At::FirstLabels(&["gitlab"]),
        doors: &[
            door("POST", "/api/v4/snippets", "publish a snippet"),
            door("POST", "/api/v4/projects", "make a project"),
            door("POST", "/api/v4/projects/ID/issues", "write an issue in any project"),
            door("POST", "/api/v4/projects/ID/hooks", "send events of a project elsewhere"),
            door("POST", "/api/v4/projects/ID/access_tokens", "make a project token"),
            door("POST", "/api/v4/personal_access_tokens/ID/rotate", "make a personal token"),
            door("POST", "/api/v4/user/keys", "add an SSH key to the account"),
            door("POST", "/api/graphql", "do all of this by GraphQL"),
            door("POST", "/GROUP/PROJECT.git/git-receive-pack", "push to any project"),
        ],
    },
    Service {
        name: "Bitbucket",
        at: At::Names(&["api.bitbucket.org"]),
        doors: &[
            door("POST", "/2.0/snippets", "publish a snippet"),
            door("POST", "/2.0/repositories/WORKSPACE/REPO/issues", "write an issue in any repository"),
            door("POST", "/2.0/repositories/WORKSPACE/REPO/hooks", "send events of a repository elsewhere"),
            door("POST", "/2.0/repositories/WORKSPACE/REPO/deploy-keys", "add a deploy key to a repository"),
            door("POST", "/2.0/users/USER/ssh-keys", "add an SSH key to the account"),
        ],
    },
    Service {
        name: "Bitbucket",
        at: At::Names(&["bitbucket.org"]),
        doors: &[
            door("POST", "/WORKSPACE/REPO.git/git-receive-pack", "push to any repository"),
            door("POST", "/site/oauth2/access_token", "make an access token"),
        ],
    },
    Service {
        name: "Gitea or Forgejo",
        at: At::FirstLabels(&["gitea", "forgejo", "codeberg"]),
        doors: &[
            door("POST", "/api/v1/user/repos", "make a repository"),
            door("POST", "/api/v1/repos/OWNER/REPO/issues", "write an issue in any repository"),
            door("POST", "/api/v1/repos/OWNER/REPO/hooks", "send events of a repository elsewhere"),
            door("POST", "/api/v1/users/USER/tokens", "make an access token"),
            door("POST", "/api/v1/user/keys", "add an SSH key to the account"),
        ],
    },
    Service {
        name: "a package registry",
        at: At::FirstLabels(&["registry", "npm", "packages", "pypi", "upload", "crates", "nexus", "artifactory"]),
        doors: &[
            door("PUT", "/NAME", "publish a package (npm)"),
            door("POST", "/-/npm/v1/tokens", "make a token (npm)"),
            door("PUT", "/-/user/org.couchdb.user:NAME", "make a user or token (npm)"),
            door("POST", "/legacy/", "publish a package (pip)"),
            door("PUT", "/api/v1/crates/new", "publish a package (cargo)"),
            door("PUT", "/api/v1/crates/NAME/owners", "give a package to others (cargo)"),
            door("POST", "/v2/NAME/blobs/uploads/", "push an image"),
        ],
    },
    Service {
        name: "Slack",
        at: At::Names(&["slack.com"]),
        doors: &[
            door("POST", "/api/chat.postMessage", "write a message in any channel"),
            door("POST", "/api/files.getUploadURLExternal", "upload a file"),
            door("POST", "/api/conversations.create", "make a channel"),
            door("POST", "/api/oauth.v2.access", "make a token"),
        ],
    },
    Service {
        name: "Slack",
        at: At::Names(&["hooks.slack.com"]),
        doors: &[door("POST", "/services/TEAM/HOOK/TOKEN", "write to any webhook")],
    },
    Service {
        name: "Discord",
        at: At::Names(&["discord.com", "discordapp.com"]),
        doors: &[
            door("POST", "/api/v10/channels/ID/messages", "write a message in any channel"),
            door("POST", "/api/v10/channels/ID/webhooks", "make a webhook"),
            door("POST", "/api/webhooks/ID/TOKEN", "write to any webhook"),
            door("POST", "/api/v10/oauth2/token", "make a token"),
        ],
    },
    Service {
        name: "Telegram",
        at: At::Names(&["api.telegram.org"]),
        doors: &[
            door("POST", "/botTOKEN/sendMessage", "write a message in any chat"),
            door("POST", "/botTOKEN/sendDocument", "send a file to any chat"),
            door("POST", "/botTOKEN/setWebhook", "send what the bot hears elsewhere"),
        ],
    },
    Service {
        name: "Matrix",
        at: At::FirstLabels(&["matrix"]),
        doors: &[
            door("PUT", "/_matrix/client/v3/rooms/ROOM/send/m.room.message/ID", "write a message in any room"),
            door("POST", "/_matrix/client/v3/createRoom", "make a room"),
            door("POST", "/_matrix/media/v3/upload", "upload a file"),
            door("POST", "/_matrix/client/v3/login", "make an access token"),
        ],
    },
    Service {
        name: "a pastebin",
        at: At::Names(&["pastebin.com", "paste.rs", "dpaste.org", "hastebin.com", "0x0.st", "transfer.sh", "file.io"]),
        doors: &[
            door("POST", "/", "publish a text or file"),
            door("POST", "/api/api_post.php", "publish a text"),
            door("POST", "/documents", "publish a text"),
            door("PUT", "/NAME", "publish a file"),
        ],
    },
    Service {
        name: "Anthropic",
        at: At::Names(&["api.anthropic.com"]),
        doors: &[
            door("POST", "/v1/files", "upload a file to the account"),
            door("POST", "/v1/organizations/api_keys/ID", "change an API key"),
            door("POST", "/v1/organizations/invites", "invite somebody to the organisation"),
        ],
    },
    Service {
        name: "OpenAI",
        at: At::Names(&["api.openai.com"]),
        doors: &[
            door("POST", "/v1/files", "upload a file to the account"),
            door("POST", "/v1/organization/admin_api_keys", "make an API key"),
            door("POST", "/v1/organization/projects/ID/service_accounts", "make an account with an API key"),
        ],
    },
    Service {
        name: "AWS",
        at: At::Names(&["sts.amazonaws.com", "iam.amazonaws.com"]),
        doors: &[door("POST", "/", "make credentials")],
    },
    Service {
        name: "Google",
        at: At::Names(&["oauth2.googleapis.com", "iamcredentials.googleapis.com"]),
        doors: &[
            door("POST", "/token", "make an access token"),
            door("POST", "/v1/projects/-/serviceAccounts/NAME:generateAccessToken", "make an access token"),
        ],
    },
];
