//! Asking a person: on the terminal, or (in tests) from a list of answers.

use std::io::{BufRead, Write};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::cli::exit::Failure;

/// Somebody who can be asked.
pub trait Ask {
    /// Tells something.
    fn tell(&mut self, text: &str);
    /// Asks for a line; an empty one is the default, if there is one.
    fn line(&mut self, question: &str, default: Option<&str>) -> Result<String, Failure>;
    /// Asks for a secret, which is not shown while it is typed.
    fn secret(&mut self, question: &str) -> Result<Zeroizing<String>, Failure>;
    /// The public key that is likely meant.
    fn default_key(&self) -> Option<String>;
}

/// The person at the terminal. Questions go to standard error, so that standard output has the answer alone.
pub struct Terminal;

fn failed(error: std::io::Error) -> Failure {
    Failure::error(format!("cannot ask on the terminal: {error}"))
}

/// A line of standard input, without its end.
fn read_line() -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let count = std::io::stdin()
        .lock()
        .read_line(&mut text)
        .map_err(failed)?;
    if count == 0 {
        return Err(Failure::error("no answer was given; nothing was written"));
    }
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}

/// Shows what is typed again when it is dropped.
struct Echo {
    before: rustix::termios::Termios,
}

impl Echo {
    fn off() -> Result<Self, Failure> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).map_err(|error| failed(error.into()))?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(|error| failed(error.into()))?;
        Ok(Self { before })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}

impl Ask for Terminal {
    fn tell(&mut self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    fn line(&mut self, question: &str, default: Option<&str>) -> Result<String, Failure> {
        loop {
            let shown = default.map_or_else(String::new, |default| format!(" [{default}]"));
            let mut out = std::io::stderr();
            write!(out, "{question}{shown}: ")
                .and_then(|()| out.flush())
                .map_err(failed)?;
            let line = read_line()?;
            let line = line.trim();
            match default {
                _ if !line.is_empty() => return Ok(line.to_owned()),
                Some(default) => return Ok(default.to_owned()),
                None => {}
            }
        }
    }

    fn secret(&mut self, question: &str) -> Result<Zeroizing<String>, Failure> {
        let mut out = std::io::stderr();
        // Silent before the question is seen: whoever answers at once is neither shown nor lost.
        let echo = Echo::off()?;
        write!(out, "{question}: ")
            .and_then(|()| out.flush())
            .map_err(failed)?;
        let line = read_line();
        drop(echo);
        // The line's end was not shown either.
        let _ = writeln!(out);
        line
    }

    fn default_key(&self) -> Option<String> {
        let home = std::env::var_os("HOME")?;
        let keys = ["id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub"];
        keys.iter()
            .map(|key| std::path::Path::new(&home).join(".ssh").join(key))
            .find(|file| file.is_file())
            .map(|file| file.display().to_string())
    }
}
