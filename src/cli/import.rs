//! `import`: documents for what is there, printed or as files. What could not be said goes to standard error, and last how much was read
//! and written, whatever the form of the output.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Ended;
use super::arguments::{Format, Import as Given};
use super::exit::{Exit, Failure};
use super::output::Output;
use crate::document::Kind;
use crate::plan::words::clean;
use crate::service::Service;
use crate::service::import::{Import, ImportRequest, ImportedObject, left_out_counts};

/// Runs the command.
pub async fn run(service: &Service, given: &Given, output: &Output) -> Ended {
    let request = ImportRequest {
        cluster: given.cluster.clone(),
        only: given.only.clone(),
        power: given.power,
    };
    let import = service.import(&request).await?;
    let written = match &given.to {
        Some(folder) => write(folder, &import, given.force)?,
        None => {
            if output.format == Format::Text {
                let texts: Vec<&str> = import.objects.iter().map(|o| o.text.as_str()).collect();
                output.raw(&texts.join("---\n"));
            }
            Written::default()
        }
    };
    output.value(&value(&import, &written.files));
    let mut said = String::new();
    if output.format == Format::Text {
        said = summary(&import, given.to.as_deref());
    }
    said.push_str(&totals(&import, given.to.as_deref().map(|_| &written)));
    // Whoever closed standard error does not read it either way.
    let _ = std::io::stderr().lock().write_all(said.as_bytes());
    Ok(if import.whole() {
        Exit::Success
    } else {
        Exit::Error
    })
}

/// The files of an import.
#[derive(Default)]
struct Written {
    /// All of them, in the order of the objects.
    files: Vec<PathBuf>,
    /// How many were new or said something else before.
    changed: usize,
}

fn file_of(folder: &Path, object: &ImportedObject) -> PathBuf {
    let kind = object.key.kind.as_str().to_ascii_lowercase();
    folder.join(kind).join(format!("{}.yaml", object.key.name))
}

/// Writes every document to its file. Nothing is written when a file says something else already.
fn write(folder: &Path, import: &Import, force: bool) -> Result<Written, Failure> {
    let mut files = Vec::new();
    let mut other = Vec::new();
    for object in &import.objects {
        let file = file_of(folder, object);
        match std::fs::read(&file) {
            Ok(there) if there == object.text.as_bytes() => {}
            Ok(_) if !force => other.push(format!("  {}", file.display())),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => other.push(format!("  {}: {error}", file.display())),
        }
        files.push(file);
    }
    if !other.is_empty() {
        return Err(Failure::error(format!(
            "nothing was written, since these files are there and say something else:\n{}\nname another folder, or say --force to write over them",
            other.join("\n")
        )));
    }
    let mut changed = 0;
    for (object, file) in import.objects.iter().zip(&files) {
        let replaced = replace(file, &object.text)
            .map_err(|error| Failure::error(format!("cannot write {}: {error}", file.display())))?;
        changed += usize::from(replaced);
    }
    Ok(Written { files, changed })
}

/// Writes a file whole or not at all; one that says the same already is not touched. Returns whether it was written.
fn replace(file: &Path, text: &str) -> std::io::Result<bool> {
    if std::fs::read(file).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(false);
    }
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Hidden, so that a folder of documents read at this moment does not have half a one.
    let mut name = std::ffi::OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(".new");
    let new = file.with_file_name(name);
    std::fs::write(&new, text)?;
    std::fs::rename(&new, file)?;
    Ok(true)
}

fn value(import: &Import, files: &[PathBuf]) -> Value {
    let mut files = files.iter();
    let objects: Vec<Value> = import
        .objects
        .iter()
        .map(|object| {
            let left: Vec<Value> = object
                .left_out
                .iter()
                .map(|left| json!({ "setting": left.setting, "why": left.why }))
                .collect();
            json!({
                "object": object.object, "document": object.value, "file": files.next(),
                "managedBy": object.managed_by, "leftOut": left,
            })
        })
        .collect();
    let missing: Vec<Value> = import
        .missing
        .iter()
        .map(|missing| json!({ "what": missing.what, "why": missing.why }))
        .collect();
    json!({ "cluster": import.cluster, "objects": objects, "notImported": missing })
}

fn count(count: usize, one: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    }
}

/// One line with how much was read, and what became of it.
fn totals(import: &Import, written: Option<&Written>) -> String {
    let of = |kinds: &[Kind]| {
        let objects = import.objects.iter();
        objects
            .filter(|object| kinds.contains(&object.key.kind))
            .count()
    };
    let mut line = format!(
        "read {}, {}, {}, {}; ",
        count(of(&[Kind::VirtualMachine, Kind::Container]), "guest"),
        count(of(&[Kind::Storage]), "storage"),
        count(of(&[Kind::Pool]), "pool"),
        count(of(&[Kind::BackupJob]), "backup job")
    );
    line.push_str(&match written {
        None => format!("printed {}", count(import.objects.len(), "document")),
        Some(written) => format!(
            "wrote {}, {} said the same already",
            count(written.changed, "file"),
            written.files.len().saturating_sub(written.changed)
        ),
    });
    if !import.missing.is_empty() {
        line.push_str(&format!("; not imported: {}", import.missing.len()));
    }
    line.push('\n');
    line
}

/// What was done and what was not, for people.
fn summary(import: &Import, to: Option<&Path>) -> String {
    let mut lines = vec![format!(
        "imported {} of cluster {}{}",
        count(import.objects.len(), "object"),
        import.cluster,
        to.map_or_else(String::new, |to| format!(" to {}", to.display()))
    )];
    let counts = left_out_counts(import);
    if !counts.is_empty() {
        lines.push(
            "not in the documents, and so not managed (each is named at the top of its document):"
                .to_owned(),
        );
    }
    for (setting, why, times) in counts {
        let times = count(times, "time");
        lines.push(format!("  {} ({times}): {}", clean(&setting), clean(&why)));
    }
    let managed: Vec<String> = import
        .objects
        .iter()
        .filter_map(|object| {
            Some(format!(
                "{} ({})",
                object.object,
                object.managed_by.as_ref()?
            ))
        })
        .collect();
    if !managed.is_empty() {
        lines.push(format!(
            "managed already, so that only its source can submit it: {}",
            managed.join(", ")
        ));
    }
    if !import.missing.is_empty() {
        lines.push("not imported:".to_owned());
    }
    for missing in &import.missing {
        lines.push(format!(
            "  {}: {}",
            clean(&missing.what),
            clean(&missing.why)
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}
