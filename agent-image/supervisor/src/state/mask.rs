//! Stubs are worthless outside of the firewall and still not to be shown: a log or a page with one in it teaches whoever reads
//! it what to present. Whatever is told about an agent goes through its mask.

use crate::agent::Agent;
use crate::clean;

/// Shorter ones are no stubs, and would mask half of a text.
const SHORTEST: usize = 6;

/// An agent's stubs.
#[derive(Clone, Default)]
pub struct Mask(Vec<String>);

impl Mask {
    /// Every stub that the agent's file names, and the values of variables that are named like secrets: of these, and of those
    /// that the file gives to the client.
    pub fn of(agent: &Agent, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let given = agent.file.client.environment.clone();
        let secret = variables.into_iter().chain(given).filter(|(name, _)| names_a_secret(name));
        Mask::new(Mask::of_stubs(agent).0.into_iter().chain(secret.map(|(_, value)| value)))
    }

    /// Only what the agent's file calls a stub: a variable may hold something real.
    pub fn of_stubs(agent: &Agent) -> Self {
        let file = &agent.file;
        let mut stubs = vec![&file.login.access_stub, &file.login.refresh_stub, &file.pr_comments.stub];
        stubs.extend(file.git.stubs.values());
        stubs.extend(file.matrix.iter().map(|matrix| &matrix.stub));
        stubs.extend(file.events.iter().map(|events| &events.stub));
        stubs.extend(file.doctor.stubs.iter());
        Mask::new(stubs.into_iter().cloned())
    }

    /// One for these.
    pub fn new(stubs: impl IntoIterator<Item = String>) -> Self {
        let mut stubs: Vec<String> = stubs.into_iter().filter(|stub| stub.chars().count() >= SHORTEST).collect();
        // One that begins with another is masked whole.
        stubs.sort_by_key(|stub| std::cmp::Reverse(stub.len()));
        stubs.dedup();
        Mask(stubs)
    }

    /// The stubs that it masks, the longest first.
    pub fn stubs(&self) -> &[String] {
        &self.0
    }

    /// The text without stubs, in one line that is fit to be shown.
    pub fn line(&self, text: &str) -> String {
        clean::told(text, &self.0)
    }
}

/// Whether a variable of this name holds something that is presented.
fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["TOKEN", "SECRET", "PASSWORD", "KEY", "PAT", "STUB"].iter().any(|word| name.split('_').any(|part| part == *word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn masks_each_stub_wherever_it_stands() {
        let mask = Mask::new(["proxy-token".to_owned(), "proxy-token-github".to_owned(), "x".to_owned()]);
        assert_eq!(mask.line("Bearer proxy-token-github, proxy-token."), "Bearer [stub], [stub].");
        assert_eq!(mask.line("x"), "x", "too short to be one");
    }

    #[test]
    fn takes_what_is_named_like_a_secret_from_the_environment() {
        for (name, is_one) in [("GH_TOKEN", true), ("API_KEY", true), ("TERM", false), ("MONKEY", false), ("pat", true)]
        {
            assert_eq!(names_a_secret(name), is_one, "{name}");
        }
    }

    #[test]
    fn nothing_invisible_hides_a_stub() {
        let mask = Mask::new(["access-token-stub".to_owned()]);
        assert_eq!(mask.line("a\u{200b}ccess-\u{7}token-s\u{202e}tub"), "[stub]");
    }

    proptest! {
        #[test]
        fn no_stub_and_no_control_character_is_left(before in ".*", after in ".*", stub in "[a-z-]{6,20}") {
            let told = Mask::new([stub.clone()]).line(&format!("{before}{stub}{after}"));
            prop_assert!(!told.contains(&stub) || "[stub]".contains(&stub));
            prop_assert!(!told.chars().any(char::is_control));
        }
    }
}
