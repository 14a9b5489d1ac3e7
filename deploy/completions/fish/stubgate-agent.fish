# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_stubgate_agent_global_optspecs
    string join \n name= agents= home= workspace= bundle= trust= run= h/help V/version
end

function __fish_stubgate_agent_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_stubgate_agent_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_stubgate_agent_using_subcommand
    set -l cmd (__fish_stubgate_agent_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c stubgate-agent -n "__fish_stubgate_agent_needs_command" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_needs_command" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_needs_command" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_needs_command" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_needs_command" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_needs_command" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_needs_command" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_needs_command" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_needs_command" -s V -l version -d 'Print version'
complete -c stubgate-agent -n "__fish_stubgate_agent_needs_command" -f -a "setup" -d 'Put everything in place that the client needs; safe to run again'
complete -c stubgate-agent -n "__fish_stubgate_agent_needs_command" -f -a "run" -d 'Keep the client and its bridges alive; the container\'s main process'
complete -c stubgate-agent -n "__fish_stubgate_agent_needs_command" -f -a "attach" -d 'Show the client\'s terminal here; Ctrl-] leaves it'
complete -c stubgate-agent -n "__fish_stubgate_agent_needs_command" -f -a "status" -d 'How the client, its bridges and its credentials are'
complete -c stubgate-agent -n "__fish_stubgate_agent_needs_command" -f -a "hook" -d 'What Claude Code calls at its own events'
complete -c stubgate-agent -n "__fish_stubgate_agent_needs_command" -f -a "bridge" -d 'MCP servers: list, upgrade, roll back, serve, new'
complete -c stubgate-agent -n "__fish_stubgate_agent_needs_command" -f -a "event" -d 'Publish events to the other agents'
complete -c stubgate-agent -n "__fish_stubgate_agent_needs_command" -f -a "doctor" -d 'Look at trust, names and routes from inside the container'
complete -c stubgate-agent -n "__fish_stubgate_agent_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand setup" -l managed-settings -d 'The client\'s managed settings, which are only looked at' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand setup" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand setup" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand setup" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand setup" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand setup" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand setup" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand setup" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand setup" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand run" -l hurry -d 'Divides all times: for tests' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand run" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand run" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand run" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand run" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand run" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand run" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand run" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand run" -l headless -d 'Without tmux: nobody can attach but by `stubgate-agent attach`'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand run" -l init -d 'Start, tell of signals and reap as the first process of a container does; so by itself where it is the first'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand run" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand attach" -l grace -d 'If standard input is no terminal: leave so many seconds after its end' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand attach" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand attach" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand attach" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand attach" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand attach" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand attach" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand attach" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand attach" -l tmux -d 'The session of tmux, with a shell beside the client'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand attach" -l stay -d 'Never leave by itself: for the pane of tmux'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand attach" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand status" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand status" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand status" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand status" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand status" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand status" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand status" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand status" -l json -d 'As JSON, with the keys that docs/agent/state.md lists'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand status" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and not __fish_seen_subcommand_from pr-comments help" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and not __fish_seen_subcommand_from pr-comments help" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and not __fish_seen_subcommand_from pr-comments help" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and not __fish_seen_subcommand_from pr-comments help" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and not __fish_seen_subcommand_from pr-comments help" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and not __fish_seen_subcommand_from pr-comments help" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and not __fish_seen_subcommand_from pr-comments help" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and not __fish_seen_subcommand_from pr-comments help" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and not __fish_seen_subcommand_from pr-comments help" -f -a "pr-comments" -d 'Wake the client when its open pull requests have new comments; a Stop hook, with its input on standard input'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and not __fish_seen_subcommand_from pr-comments help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and __fish_seen_subcommand_from pr-comments" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and __fish_seen_subcommand_from pr-comments" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and __fish_seen_subcommand_from pr-comments" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and __fish_seen_subcommand_from pr-comments" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and __fish_seen_subcommand_from pr-comments" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and __fish_seen_subcommand_from pr-comments" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and __fish_seen_subcommand_from pr-comments" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and __fish_seen_subcommand_from pr-comments" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "pr-comments" -d 'Wake the client when its open pull requests have new comments; a Stop hook, with its input on standard input'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and not __fish_seen_subcommand_from list probe upgrade rollback serve new help" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and not __fish_seen_subcommand_from list probe upgrade rollback serve new help" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and not __fish_seen_subcommand_from list probe upgrade rollback serve new help" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and not __fish_seen_subcommand_from list probe upgrade rollback serve new help" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and not __fish_seen_subcommand_from list probe upgrade rollback serve new help" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and not __fish_seen_subcommand_from list probe upgrade rollback serve new help" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and not __fish_seen_subcommand_from list probe upgrade rollback serve new help" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and not __fish_seen_subcommand_from list probe upgrade rollback serve new help" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and not __fish_seen_subcommand_from list probe upgrade rollback serve new help" -f -a "list" -d 'Every bridge, its version and its last probe'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and not __fish_seen_subcommand_from list probe upgrade rollback serve new help" -f -a "probe" -d 'Ask bridges now; exit code 1 if one does not work'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and not __fish_seen_subcommand_from list probe upgrade rollback serve new help" -f -a "upgrade" -d 'Install a version, ask it, and switch to it if it works; the one before is kept'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and not __fish_seen_subcommand_from list probe upgrade rollback serve new help" -f -a "rollback" -d 'Go back to the version that ran before'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and not __fish_seen_subcommand_from list probe upgrade rollback serve new help" -f -a "serve" -d 'Run a bridge as a workload of its own: HTTPS, and a token that it asks for'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and not __fish_seen_subcommand_from list probe upgrade rollback serve new help" -f -a "new" -d 'Write the beginning of a bridge: server, entry, policy, tests'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and not __fish_seen_subcommand_from list probe upgrade rollback serve new help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from list" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from list" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from list" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from list" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from list" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from list" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from list" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from probe" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from probe" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from probe" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from probe" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from probe" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from probe" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from probe" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from probe" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from upgrade" -l find-links -d 'Install from this folder, and from nowhere else' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from upgrade" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from upgrade" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from upgrade" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from upgrade" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from upgrade" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from upgrade" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from upgrade" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from upgrade" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from rollback" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from rollback" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from rollback" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from rollback" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from rollback" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from rollback" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from rollback" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from rollback" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from serve" -l file -d 'File of entries; by default that of the image\'s ready-made bridge' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from serve" -l listen -d 'Address to serve' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from serve" -l certificate -d 'Certificate chain, PEM; read again when it changes' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from serve" -l key -d 'Its key, PEM' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from serve" -l tokens -d 'Tokens that let one in, one a line; read again for each request' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from serve" -l state-dir -d 'Folder of the versions of its package' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from serve" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from serve" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from serve" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from serve" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from serve" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from serve" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from serve" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from serve" -l plain-http -d 'Without TLS; on loopback only, for tests'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from serve" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from new" -l to -d 'Folder to write it to' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from new" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from new" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from new" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from new" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from new" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from new" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from new" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from new" -l in-container -d 'It speaks HTTP, and runs in the agent\'s container (the default)'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from new" -l workload -d 'It speaks something else, holds a credential, and runs elsewhere'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from new" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from help" -f -a "list" -d 'Every bridge, its version and its last probe'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from help" -f -a "probe" -d 'Ask bridges now; exit code 1 if one does not work'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from help" -f -a "upgrade" -d 'Install a version, ask it, and switch to it if it works; the one before is kept'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from help" -f -a "rollback" -d 'Go back to the version that ran before'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from help" -f -a "serve" -d 'Run a bridge as a workload of its own: HTTPS, and a token that it asks for'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from help" -f -a "new" -d 'Write the beginning of a bridge: server, entry, policy, tests'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand bridge; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and not __fish_seen_subcommand_from publish list flush drop schema help" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and not __fish_seen_subcommand_from publish list flush drop schema help" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and not __fish_seen_subcommand_from publish list flush drop schema help" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and not __fish_seen_subcommand_from publish list flush drop schema help" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and not __fish_seen_subcommand_from publish list flush drop schema help" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and not __fish_seen_subcommand_from publish list flush drop schema help" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and not __fish_seen_subcommand_from publish list flush drop schema help" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and not __fish_seen_subcommand_from publish list flush drop schema help" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and not __fish_seen_subcommand_from publish list flush drop schema help" -f -a "publish" -d 'Publish one event: of its flags, or of JSON from standard input'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and not __fish_seen_subcommand_from publish list flush drop schema help" -f -a "list" -d 'What waits for its server, and what was put aside'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and not __fish_seen_subcommand_from publish list flush drop schema help" -f -a "flush" -d 'Send what waits, now'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and not __fish_seen_subcommand_from publish list flush drop schema help" -f -a "drop" -d 'Throw an event away that was not taken'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and not __fish_seen_subcommand_from publish list flush drop schema help" -f -a "schema" -d 'The JSON Schema of events'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and not __fish_seen_subcommand_from publish list flush drop schema help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from publish" -l id -d 'Its id, if it is not that of what it says: events of one id are one event' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from publish" -l wait-seconds -d 'Wait so long for its server' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from publish" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from publish" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from publish" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from publish" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from publish" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from publish" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from publish" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from publish" -l json -d 'Read the event from standard input, as one JSON object'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from publish" -l require-ack -d 'Exit with 1 if it is spooled but not yet taken'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from publish" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from publish" -f -a "pr_opened" -d 'A pull request was opened'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from publish" -f -a "pr_merged" -d 'A pull request was merged'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from publish" -f -a "incident" -d 'Something is wrong'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from publish" -f -a "task_done" -d 'A task came to its end'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from publish" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from list" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from list" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from list" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from list" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from list" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from list" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from list" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from list" -l json -d 'As JSON, one event a line'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from flush" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from flush" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from flush" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from flush" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from flush" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from flush" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from flush" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from flush" -l aside -d 'Also what was put aside'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from flush" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from drop" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from drop" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from drop" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from drop" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from drop" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from drop" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from drop" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from drop" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from schema" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from schema" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from schema" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from schema" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from schema" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from schema" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from schema" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from schema" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from help" -f -a "publish" -d 'Publish one event: of its flags, or of JSON from standard input'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from help" -f -a "list" -d 'What waits for its server, and what was put aside'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from help" -f -a "flush" -d 'Send what waits, now'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from help" -f -a "drop" -d 'Throw an event away that was not taken'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from help" -f -a "schema" -d 'The JSON Schema of events'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand event; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand doctor" -l live -d 'Let each runtime that is installed make one request to this address; they may write below the folder for temporary files' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand doctor" -l name -d 'The agent\'s name' -r
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand doctor" -l agents -d 'Folder of the agents\' files: _shared and one of each agent\'s name' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand doctor" -l home -d 'The client\'s home' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand doctor" -l workspace -d 'Where repositories are cloned' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand doctor" -l bundle -d 'Bundle of the certificate authorities to trust, as mounted' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand doctor" -l trust -d 'Folder that the image\'s system and Java trust stores are linked into; written by setup' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand doctor" -l run -d 'Folder of what lasts as long as the container: sockets, state' -r -F
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand doctor" -l json -d 'As JSON: `version`, `ok` and `checks`'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and not __fish_seen_subcommand_from setup run attach status hook bridge event doctor help" -f -a "setup" -d 'Put everything in place that the client needs; safe to run again'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and not __fish_seen_subcommand_from setup run attach status hook bridge event doctor help" -f -a "run" -d 'Keep the client and its bridges alive; the container\'s main process'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and not __fish_seen_subcommand_from setup run attach status hook bridge event doctor help" -f -a "attach" -d 'Show the client\'s terminal here; Ctrl-] leaves it'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and not __fish_seen_subcommand_from setup run attach status hook bridge event doctor help" -f -a "status" -d 'How the client, its bridges and its credentials are'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and not __fish_seen_subcommand_from setup run attach status hook bridge event doctor help" -f -a "hook" -d 'What Claude Code calls at its own events'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and not __fish_seen_subcommand_from setup run attach status hook bridge event doctor help" -f -a "bridge" -d 'MCP servers: list, upgrade, roll back, serve, new'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and not __fish_seen_subcommand_from setup run attach status hook bridge event doctor help" -f -a "event" -d 'Publish events to the other agents'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and not __fish_seen_subcommand_from setup run attach status hook bridge event doctor help" -f -a "doctor" -d 'Look at trust, names and routes from inside the container'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and not __fish_seen_subcommand_from setup run attach status hook bridge event doctor help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and __fish_seen_subcommand_from hook" -f -a "pr-comments" -d 'Wake the client when its open pull requests have new comments; a Stop hook, with its input on standard input'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and __fish_seen_subcommand_from bridge" -f -a "list" -d 'Every bridge, its version and its last probe'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and __fish_seen_subcommand_from bridge" -f -a "probe" -d 'Ask bridges now; exit code 1 if one does not work'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and __fish_seen_subcommand_from bridge" -f -a "upgrade" -d 'Install a version, ask it, and switch to it if it works; the one before is kept'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and __fish_seen_subcommand_from bridge" -f -a "rollback" -d 'Go back to the version that ran before'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and __fish_seen_subcommand_from bridge" -f -a "serve" -d 'Run a bridge as a workload of its own: HTTPS, and a token that it asks for'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and __fish_seen_subcommand_from bridge" -f -a "new" -d 'Write the beginning of a bridge: server, entry, policy, tests'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and __fish_seen_subcommand_from event" -f -a "publish" -d 'Publish one event: of its flags, or of JSON from standard input'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and __fish_seen_subcommand_from event" -f -a "list" -d 'What waits for its server, and what was put aside'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and __fish_seen_subcommand_from event" -f -a "flush" -d 'Send what waits, now'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and __fish_seen_subcommand_from event" -f -a "drop" -d 'Throw an event away that was not taken'
complete -c stubgate-agent -n "__fish_stubgate_agent_using_subcommand help; and __fish_seen_subcommand_from event" -f -a "schema" -d 'The JSON Schema of events'
