//! A whole policy file: whatever the text, it is checked without a panic and in bounded time, and what is said of it points
//! into it. A policy that passes reads the same again, and answers questions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stubgate_policy::diagnostic::{json, render};
use stubgate_policy::{Ask, Authority, ConnectStage, Diagnostic, Scheme, SourceFile, compile};

fuzz_target!(|text: &str| {
    let files = [SourceFile { name: "policy.yaml".into(), text: text.into() }];
    let fine = |found: &[Diagnostic]| {
        for label in found.iter().flat_map(|diagnostic| &diagnostic.labels) {
            assert!(label.file == 0 && text.get(label.span.clone()).is_some(), "{found:?}");
        }
        render(found, &files, false);
        json(found, &files);
    };
    match compile(&files) {
        Err(found) => {
            assert!(!found.is_empty());
            fine(&found);
        }
        Ok(compiled) => {
            let policy = &compiled.policy;
            assert_eq!(Ok(policy.fingerprint()), compile(&files).as_ref().map(|again| again.policy.fingerprint()));
            fine(&compiled.warnings);
            let Ok(authority) = Authority::parse(Scheme::Https, b"api.test") else { return };
            for agent in policy.agents() {
                let id = policy.agent_named(agent.name()).expect("an agent has its name");
                policy.decide(&Ask::new(id, ConnectStage { authority: &authority }));
            }
        }
    }
});
