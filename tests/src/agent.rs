//! An agent at work: its container on the pod, the real supervisor and the real client in it, stubgate between them and a double
//! of Anthropic, which is as strict as a provider may be. The login is in escrow; the container has its stubs.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::builder::Builder;
use crate::container::{self, Container, Recipe};
use crate::lab::Lab;
use crate::origin::Anthropic;
use crate::program::{Program, Running};

/// What the client shows when it takes a prompt.
pub const PROMPT: &str = "bypass permissions on";
/// Where an agent says how it is, inside of the pod.
const STATE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9091);
/// A few words of every dialog that the client may begin with, without the blanks, which are not always drawn.
const DIALOGS: [&str; 9] = [
    "Choosethetextstyle",
    "Selectloginmethod",
    "Quicksafetycheck",
    "runninginBypassPermissionsmode",
    "Loadingdevelopmentchannels",
    "SettingsError",
    "Doyouwanttousethis",
    "Resumingthefullsession",
    "PressEntertocontinue",
];

/// The policy of an agent that talks to the model and to nobody else.
pub const POLICY: &str = r#"version: 1
agents:
  pod: { sources: ["10.99.0.2/32"] }
credentials:
  claude:
    stub: access-token-stub
    slots: [bearer]
    hosts: [api.anthropic.com]
    source: { oauth: { provider: claude, refresh_stub: refresh-token-stub, login: team } }
include:
  - { preset: claude-code@1, agents: [pod], credentials: { anthropic: claude } }
"#;

/// The lab of agents.
#[derive(Debug)]
pub struct Office {
    /// The lab.
    pub lab: Lab,
    /// The provider.
    pub model: Anthropic,
}

impl AsRef<Lab> for Office {
    fn as_ref(&self) -> &Lab {
        &self.lab
    }
}

impl Office {
    /// Nothing but the model.
    pub fn open() -> Office {
        Office::build(|builder| builder.policy(POLICY))
    }

    /// With what `change` adds, the policy among it. Somebody has logged in.
    pub fn build(change: impl FnOnce(Builder) -> Builder) -> Office {
        let model = Anthropic::default();
        let lab = change(Lab::new().origin(model.clone())).start();
        let (_, login) = model.log_in(Duration::from_secs(24 * 3600));
        let file = lab.pod().dir().join("login.json");
        fs::write(&file, login).expect("write");
        let command = ["login", "claude", "--config", "stubgate.yaml", "--name", "team", "--import"];
        let said = lab.appliance().command(command).arg(&file).run().success();
        assert!(said.contains("is in escrow"), "{said}");
        fs::remove_file(&file).expect("remove");
        let office = Office { lab, model };
        office.until_logged_in();
        office
    }

    /// Waits until the appliance has the login's token.
    pub fn until_logged_in(&self) {
        let appliance = self.lab.appliance();
        appliance.until("the login", || {
            let ready = appliance.get("/readyz");
            ready.is_ok_and(|(status, text)| status == 200 && !text.contains("credential claude: no value"))
        });
    }

    /// An agent of this name that was never there before, with these files below `agents/`.
    pub fn desk(&self, name: &'static str, files: &[(&str, &str)]) -> Desk<'_> {
        let persona = format!("{name}/CLAUDE.md");
        let mut all = vec![("_shared/CLAUDE.md", "You work in a lab.\n"), (&persona, "You are an agent of it.\n")];
        all.extend(files);
        let agents = container::lay_out(self.lab.pod(), &format!("agents-{name}"), &all);
        let kept = self.lab.pod().dir().join("containers").join(name);
        if kept.exists() {
            fs::remove_dir_all(&kept).expect("a fresh place");
        }
        Desk { office: self, name, agents, sizes: Vec::new(), mounts: Vec::new() }
    }

    /// All that no agent may see.
    pub fn secrets(&self) -> Vec<(String, String)> {
        let mut all = self.model.issued();
        all.extend(self.lab.secrets.iter().cloned());
        all
    }
}

/// An agent that may be started: its name, its files, its disks.
#[derive(Debug)]
pub struct Desk<'a> {
    office: &'a Office,
    name: &'static str,
    agents: PathBuf,
    sizes: Vec<(&'static str, u64)>,
    mounts: Vec<(PathBuf, &'static str)>,
}

impl<'a> Desk<'a> {
    /// One of its writable places is a disk of so many bytes, which is empty at each start.
    pub fn size(mut self, place: &'static str, bytes: u64) -> Desk<'a> {
        self.sizes.push((place, bytes));
        self
    }

    /// Something is mounted there, read-only.
    pub fn mount(mut self, from: PathBuf, at: &'static str) -> Desk<'a> {
        self.mounts.push((from, at));
        self
    }

    /// Its container, about to be started.
    pub fn recipe(&self) -> Recipe {
        let recipe = self.office.lab.pod().container(self.name);
        let recipe = recipe.bundle(self.office.lab.bundle()).agents(&self.agents);
        let recipe = self.mounts.iter().fold(recipe, |recipe, (from, at)| recipe.mount(from, at));
        self.sizes.iter().fold(recipe, |recipe, (place, bytes)| recipe.size(place, *bytes))
    }

    /// Runs the init step to its end; what it printed.
    #[track_caller]
    pub fn set_up(&self) -> String {
        let mut container = self.recipe().start(["stubgate-agent", "setup"]);
        let main = container.main();
        let mut said = String::new();
        while let Some(line) = main.line(Duration::from_secs(120)) {
            said.push_str(&line);
            said.push('\n');
        }
        let status = main.ended(Duration::from_secs(5));
        assert!(status.is_some_and(|status| status.success()), "setup: {status:?}\n{said}\n{}", main.errors());
        said
    }

    /// Setup and then the main program in one container, for places that do not outlive it.
    pub fn run_in_one(&self, arguments: &[&str]) -> Agent<'a> {
        let line = format!("stubgate-agent setup >&2 && exec stubgate-agent run {}", arguments.join(" "));
        let begun = Instant::now();
        Agent { container: self.recipe().start(["sh", "-c", &line]), begun, office: self.office }
    }

    /// The main container, with these arguments of `run`.
    pub fn run(&self, arguments: &[&str]) -> Agent<'a> {
        let argv = ["stubgate-agent", "run"].iter().chain(arguments);
        let begun = Instant::now();
        Agent { container: self.recipe().start(argv), begun, office: self.office }
    }
}

/// An agent whose supervisor runs.
#[derive(Debug)]
pub struct Agent<'a> {
    /// Its container.
    pub container: Container,
    /// When its start was asked for.
    pub begun: Instant,
    office: &'a Office,
}

impl Agent<'_> {
    /// What `stubgate-agent status --json` says.
    pub fn status(&self) -> Value {
        let ran = self.container.exec("stubgate-agent").args(["status", "--json"]).run();
        serde_json::from_str(&ran.text()).unwrap_or_else(|_| panic!("no JSON: {} {}", ran.text(), ran.errors()))
    }

    /// What it answers to a probe; status 0 where nobody answers.
    pub fn get(&self, path: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = self.office.lab.pod().enter(move || {
            let mut stream = TcpStream::connect_timeout(&STATE, Duration::from_secs(1)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            Some(answer)
        });
        let answer = answer.unwrap_or_default();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        (status, body.to_owned())
    }

    /// Whether it says that it is ready, and what else it says.
    pub fn ready(&self) -> (bool, String) {
        let (status, text) = self.get("/readyz");
        (status == 200, text)
    }

    /// Waits until something is so; how long that took.
    #[track_caller]
    pub fn until(&self, within: Duration, what: &str, so: impl Fn(&Self) -> bool) -> Duration {
        let begun = Instant::now();
        while !so(self) {
            assert!(begun.elapsed() < within, "waited in vain for {what}: {:?}\n{}", self.ready(), self.screen());
            std::thread::sleep(Duration::from_millis(20));
        }
        begun.elapsed()
    }

    /// Waits until the client takes a prompt and the agent is ready; how long after the start the prompt was there.
    #[track_caller]
    pub fn until_prompt(&self) -> Duration {
        self.until(Duration::from_secs(60), "the first prompt", |agent| agent.screen().contains(PROMPT));
        let waited = self.begun.elapsed();
        self.until(Duration::from_secs(20), "readiness", |agent| agent.ready().0);
        waited
    }

    /// What the client's terminal shows: the pane of tmux, or what a viewer is shown who comes now.
    pub fn screen(&self) -> String {
        let shown = self.tmux(&["capture-pane", "-p", "-t", "main:claude.{top-left}"]).run();
        if shown.status.success() {
            return shown.text();
        }
        let viewer = "sleep 0.3 | timeout 2 stubgate-agent attach --grace 0";
        words(&self.container.exec("sh").args(["-c", viewer]).run().stdout)
    }

    /// tmux in the container.
    pub fn tmux(&self, arguments: &[&str]) -> Program {
        self.container.exec("tmux").env("TMUX_TMPDIR", "/run/stubgate-agent").args(arguments)
    }

    /// Types a prompt into the pane of tmux that shows the client, as an operator would.
    pub fn type_in_tmux(&self, text: &str) {
        let pane = "main:claude.{top-left}";
        self.tmux(&["send-keys", "-t", pane, "-l", text]).run().success();
        std::thread::sleep(PAUSE);
        self.tmux(&["send-keys", "-t", pane, "Enter"]).run().success();
    }

    /// Types a prompt through `stubgate-agent attach`.
    pub fn type_attached(&self, text: &str) {
        // It leaves the pause before the return by itself.
        self.container
            .exec("stubgate-agent")
            .args(["attach", "--grace", "0"])
            .stdin(format!("{text}\r"))
            .run()
            .success();
    }

    /// Has everything that the terminal shows from now on written to a file of the container.
    pub fn record(&self) -> Recording {
        let file = "/tmp/recorded";
        let line = format!(
            "until [ -S /run/stubgate-agent/console.sock ]; do sleep 0.02; done; \
             sleep 600 | stubgate-agent attach >{file}"
        );
        Recording { _viewer: self.container.exec("sh").args(["-c", &line]).spawn(), file: self.container.path(file) }
    }

    /// A turn: `say` types it; waits until the client's record has the model's words after these. How long that took.
    #[track_caller]
    pub fn turn(&self, within: Duration, text: &str, say: impl FnOnce(&Self, &str)) -> Duration {
        let begun = Instant::now();
        say(self, text);
        self.until(within, text, |agent| agent.is_answered(text));
        begun.elapsed()
    }

    /// Whether the client's record has words of the model after these of somebody.
    pub fn is_answered(&self, text: &str) -> bool {
        let record = self.record_lines();
        let said = record.iter().rposition(|line| line["type"] == "user" && content(line).contains(text));
        said.is_some_and(|said| {
            record[said..].iter().any(|line| line["type"] == "assistant" && content(line).contains("\"text\""))
        })
    }

    /// The client's record, line by line.
    pub fn record_lines(&self) -> Vec<Value> {
        // The last line may not be whole yet.
        self.transcript().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The client's own record of all its sessions, in the order of their files' names.
    pub fn transcript(&self) -> String {
        let projects = self.container.path("/home/agent/.claude/projects");
        let mut files: Vec<PathBuf> = Vec::new();
        for folder in fs::read_dir(projects).into_iter().flatten().map_while(Result::ok) {
            let entries = fs::read_dir(folder.path()).into_iter().flatten().map_while(Result::ok);
            files.extend(
                entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "jsonl")),
            );
        }
        files.sort();
        files.iter().map(|file| fs::read_to_string(file).unwrap_or_default()).collect()
    }

    /// Process numbers of the client, as the test process sees them.
    pub fn clients(&self) -> Vec<u32> {
        let all = self.container.processes().into_iter();
        let is_client =
            |words: &[String]| words.first().is_some_and(|word| word == "claude" || word.ends_with("/claude"));
        all.filter(|(_, words)| is_client(words)).map(|(pid, _)| pid).collect()
    }

    /// Nothing real is in any file of the container, in variables or arguments of its processes, in what programs of the pod and
    /// the appliance wrote, or on the pod's link.
    #[track_caller]
    pub fn nothing_real(&self) {
        let secrets = self.office.secrets();
        let mut found = self.container.search(&secrets);
        found.extend(self.office.lab.leaks_of(&secrets));
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

fn content(line: &Value) -> String {
    line["message"]["content"].to_string()
}

/// Between words and the key that sends them: in one piece the client takes both for pasted.
const PAUSE: Duration = Duration::from_millis(400);

/// What a viewer was shown.
#[derive(Debug)]
pub struct Recording {
    _viewer: Running,
    file: PathBuf,
}

impl Recording {
    /// What it was shown so far, as text without blanks.
    pub fn text(&self) -> String {
        words(&fs::read(&self.file).unwrap_or_default()).split_whitespace().collect()
    }

    /// No dialog was ever shown, and the client's prompt was.
    #[track_caller]
    pub fn no_dialog(&self) {
        let text = self.text();
        let prompt: String = PROMPT.split_whitespace().collect();
        assert!(text.contains(&prompt), "nothing was recorded: {text}");
        let shown: Vec<_> = DIALOGS.iter().filter(|words| text.contains(*words)).collect();
        assert!(shown.is_empty(), "{shown:?} in {text}");
    }
}

/// What was written to a terminal, without what moves the cursor or colours it.
fn words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut rest = text.chars().peekable();
    let mut words = String::new();
    while let Some(letter) = rest.next() {
        match (letter, rest.peek()) {
            ('\u{1b}', Some('[')) => {
                rest.next();
                // Parameters and intermediates end at the first letter or so. What moves the cursor stands for blanks.
                let end = rest.by_ref().find(|letter| ('@'..='~').contains(letter));
                match end {
                    Some('C' | 'G') => words.push(' '),
                    Some('A' | 'B' | 'E' | 'F' | 'H' | 'd') => words.push('\n'),
                    _ => {}
                }
            }
            ('\u{1b}', Some(']' | '_' | 'P')) => {
                while let Some(letter) = rest.next() {
                    if letter == '\u{7}' || (letter == '\u{1b}' && rest.next_if_eq(&'\\').is_some()) {
                        break;
                    }
                }
            }
            ('\u{1b}', Some('(' | ')')) => {
                rest.nth(1);
            }
            ('\u{1b}', _) => {
                rest.next();
            }
            _ => words.push(letter),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_are_what_is_left_without_escape_codes() {
        let shown =
            "\u{1b}[2J\u{1b}]0;title\u{7}\u{1b}[1;31mQuick\u{1b}[1Csafety\u{1b}(B\u{1b}7 check\u{1b}_Gi=1\u{1b}\\!";
        assert_eq!(words(shown.as_bytes()), "Quick safety check!");
    }
}
