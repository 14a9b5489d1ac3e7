//! stubgate.yaml: whatever the text, it is checked without a panic, and what is said of it points into it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stubgate_policy::SourceFile;
use stubgate_proxy::config::compile;

fuzz_target!(|text: &str| {
    let source = SourceFile { name: "/nowhere/stubgate.yaml".into(), text: text.into() };
    match compile(source) {
        Ok(config) => {
            assert!(!config.policy.is_empty());
        }
        Err(problem) => {
            assert!(!problem.diagnostics.is_empty());
            for label in problem.diagnostics.iter().flat_map(|diagnostic| &diagnostic.labels) {
                assert!(text.get(label.span.clone()).is_some(), "{problem:?}");
            }
            assert!(!problem.to_string().is_empty());
        }
    }
});
