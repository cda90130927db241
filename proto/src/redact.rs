//! `Debug` for messages that hold patient data: the type's name, never a value.

use std::fmt;

use crate::common::v1::{Address, Demographics, HumanName, Identifier, RecordReference};

macro_rules! redacted {
    ($($message:ident),+) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($message), "(redacted)"))
            }
        }
    )+};
}

redacted!(Address, Demographics, HumanName, Identifier, RecordReference);
