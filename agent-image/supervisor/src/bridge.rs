//! MCP servers: started, probed, upgraded, served.

pub mod command;
