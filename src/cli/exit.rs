//! How the program ends. The numbers are a contract; tests and the README hold them.

use std::error::Error;
use std::process::ExitCode;

use crate::service::ServiceError;
use crate::service::error::with_causes;

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Success, or nothing to do.
    Success = 0,
    /// An error.
    Error = 1,
    /// A plan with changes waits.
    Waits = 2,
    /// Refused by policy, a freeze or a rejection.
    Refused = 3,
    /// Nobody knows yet what happened; running it again looks.
    Undetermined = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// A command that did not come to its end.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What went wrong, for people.
    pub message: String,
}

impl Failure {
    /// An error.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Error,
            message: message.into(),
        }
    }

    /// An error with its causes.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        Self::error(with_causes(error))
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        let exit = match &error {
            ServiceError::Refused(_) => Exit::Refused,
            ServiceError::Approval(crate::approval::ApprovalError::NotAPerson { .. }) => {
                Exit::Refused
            }
            ServiceError::Documents(_)
            | ServiceError::Plan(_)
            | ServiceError::Store(_)
            | ServiceError::Approval(_)
            | ServiceError::Cluster { .. }
            | ServiceError::Observe(_)
            | ServiceError::Setup { .. }
            | ServiceError::Request(_)
            | ServiceError::NotFound(_)
            | ServiceError::Conflict(_)
            | ServiceError::State(_)
            | ServiceError::TooMany(_)
            | ServiceError::Defect(_) => Exit::Error,
        };
        Self {
            exit,
            message: with_causes(&error),
        }
    }
}
