//! What the documentation shows is so: commands run or at least parse, configurations pass `--check`, files, links and
//! names exist. `commands.rs` has the table of programs, with the reason for each that does not run here.
//!
//! A fence says by its info string what it holds:
//!
//! | info | content |
//! |---|---|
//! | `sh` | commands |
//! | `lbctl` | commands of the shell |
//! | `toml` | a whole configuration |
//! | `toml sections` | sections of one; ports are added |
//! | `toml service` | keys of a service |
//! | `toml device` | the device of a port, on each line |
//! | `json` | a line of the control protocol each |
//! | `text` | output, or syntax: not checked |

mod commands;
mod fences;
mod links;
mod pages;
mod words;
