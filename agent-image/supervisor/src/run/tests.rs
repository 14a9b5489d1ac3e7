//! What the tests of `run` share.

use std::path::Path;

use crate::agent::{Agent, Place};

/// The agent `devbot`, everything of which stands below this folder.
pub(crate) fn agent(root: &Path, file: &str) -> Agent {
    let place = Place {
        name: "devbot".into(),
        agents: root.join("agents"),
        home: root.to_owned(),
        workspace: root.join("workspace"),
        bundle: root.join("bundle.pem"),
        trust: root.join("trust"),
        run: root.join("run"),
    };
    for folder in [&place.workspace, &place.trust, &place.run, &place.claude(), &place.agents.join("devbot")] {
        std::fs::create_dir_all(folder).unwrap();
    }
    if !file.is_empty() {
        std::fs::write(place.agents.join("devbot/agent.yaml"), file).unwrap();
    }
    place.agent().unwrap()
}
