//! Steps whose answer shows something once: the secret of a new API token. It goes from the answer into the file that the plan names and
//! nowhere else. Whatever becomes of the call, it is not called done while nobody has the secret.

use std::path::Path;

use super::port::Sent;
use super::secret_file::{self, Found, Reserved, Secret};
use crate::world::{AccountAction, Action};

/// What a step makes whose answer shows a secret, and where the secret goes.
struct Shown<'a> {
    object: String,
    file: &'a Path,
}

fn shown(action: &Action) -> Option<Shown<'_>> {
    match action {
        Action::Account(AccountAction::CreateToken {
            id, secret_file, ..
        }) => Some(Shown {
            object: format!("token {id}"),
            file: Path::new(secret_file),
        }),
        _ => None,
    }
}

impl Shown<'_> {
    fn lost(&self, how: &str) -> String {
        let object = &self.object;
        format!(
            "{object} was made, but its secret is lost: {how}. Proxmox VE shows a secret only once, so nobody has it now: delete \
             {object} and have it made anew"
        )
    }
}

/// That the file for a secret can be made. Nothing is made.
pub(super) fn possible(action: &Action) -> Result<(), String> {
    match shown(action) {
        None => Ok(()),
        Some(shown) => secret_file::creatable(shown.file).map_err(|error| error.told()),
    }
}

/// Makes the file for a secret, or takes the empty one that an earlier process made for it.
pub(super) fn reserve(action: &Action) -> Result<Option<Reserved>, String> {
    let Some(shown) = shown(action) else {
        return Ok(None);
    };
    let reserved = secret_file::reserve(shown.file, true);
    let why = |error: secret_file::SecretFileError| {
        format!(
            "nothing was sent, for the secret could not be kept: {}",
            error.told()
        )
    };
    reserved.map(Some).map_err(why)
}

/// Keeps what the answer showed, and takes the file away again where there is nothing to keep.
///
/// # Errors
/// The object was made and its secret is lost, in words.
pub(super) fn keep(
    action: &Action,
    place: Option<Reserved>,
    sent: Sent,
    secret: Option<Secret>,
) -> Result<Sent, String> {
    let (Some(place), Some(shown)) = (place, shown(action)) else {
        return Ok(sent);
    };
    match (sent, secret) {
        (sent @ Sent::Taken(_), Some(secret)) => match place.keep(&secret) {
            Ok(()) => Ok(sent),
            Err(error) => Err(shown.lost(&error.told())),
        },
        (Sent::Taken(_), None) => {
            place.release();
            Err(shown.lost("the answer did not hold it"))
        }
        (sent @ (Sent::Refused { .. } | Sent::NotNow(_) | Sent::Undetermined(_)), _) => {
            place.release();
            Ok(sent)
        }
    }
}

/// Of a step that was done although its answer never came: that its secret was kept all the same.
///
/// # Errors
/// It was not, in words.
pub(super) fn kept(action: &Action) -> Result<(), String> {
    let Some(shown) = shown(action) else {
        return Ok(());
    };
    let how = match secret_file::found(shown.file) {
        Ok(Found::Kept) => return Ok(()),
        Ok(Found::Nothing | Found::Reserved | Found::Other) => {
            "its answer did not arrive".to_owned()
        }
        Err(error) => format!(
            "whether its answer arrived cannot be read: {}",
            error.told()
        ),
    };
    secret_file::discard(shown.file);
    Err(shown.lost(&how))
}

/// Takes away the empty file of a step that will not be done.
pub(super) fn give_up(action: &Action) {
    if let Some(shown) = shown(action) {
        secret_file::discard(shown.file);
    }
}
