//! `Debug` for messages that hold patient data: the type's name, never a value.

use std::fmt;

use crate::{
    common::v1::{Address, Caller, Demographics, HumanName, Identifier, RecordReference},
    mpi::v1::RegisterPatientRequest,
};

macro_rules! redacted {
    ($($message:ident),+) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($message), "(redacted)"))
            }
        }
    )+};
}

// The user of a caller who is a patient is the patient's local id.
redacted!(Address, Caller, Demographics, HumanName, Identifier, RecordReference, RegisterPatientRequest);
