//! A gRPC server on Python's `grpcio`; it demands the real credential in every call, and says when a call was given up.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Origin, Place};
use crate::client::{python, source};
use crate::program::Running;

/// The origin.
#[derive(Clone, Debug)]
pub struct Grpc {
    name: String,
    token: String,
    said: Arc<Mutex<Option<std::path::PathBuf>>>,
}

impl Grpc {
    /// Calls of this name, for who shows `token` as Bearer.
    pub fn calls(name: &str, token: &str) -> Grpc {
        Grpc { name: name.to_owned(), token: token.to_owned(), said: Arc::default() }
    }

    /// How many calls were given up before their answer.
    pub fn given_up(&self) -> usize {
        let path = self.said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = std::fs::read_to_string(path.expect("a server that was started")).unwrap_or_default();
        text.lines().filter(|line| *line == "cancelled").count()
    }
}

impl Origin for Grpc {
    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn start(&self, place: &Place) -> Vec<Running> {
        let said = place.dir.join("said");
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(said.clone());
        let server = place
            .node
            .program("sh")
            .args(["-c", "said=$1; shift; exec \"$@\" >\"$said\"", "sh"])
            .arg(said)
            .arg(python())
            .arg(source("origins/grpc_calls.py"))
            .arg(place.address.to_string())
            .arg(&place.leaf.certificate)
            .arg(&place.leaf.key)
            .env("TOKEN", &self.token)
            .spawn();
        vec![server]
    }
}
