//! The files of `deploy/presets`, as they are part of the program.

macro_rules! texts {
    ($($file:literal)*) => {
        /// File name and text, in order.
        pub(super) const TEXTS: &[(&str, &str)] =
            &[$(($file, include_str!(concat!("../../../deploy/presets/", $file))),)*];
    };
}

texts! {
    "claude-code-remote@1.yaml"
    "claude-code-telemetry@1.yaml"
    "claude-code@1.yaml"
    "github-git@1.yaml"
    "github-graphql-read@1.yaml"
    "github-graphql-write@1.yaml"
    "github-read@1.yaml"
    "github-write@1.yaml"
    "matrix@1.yaml"
    "nats-events@1.yaml"
    "packages@1.yaml"
    "proxmox-operate@1.yaml"
    "proxmox-read@1.yaml"
}
