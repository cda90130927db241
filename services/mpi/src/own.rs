//! What a member may know of persons: its own records.

use signpost_common::{id::RecordRef, rpc::Context};

use crate::{error::Error, store::By};

/// Another member's identifiers are not there to be tried out.
pub(crate) fn own_identifiers_alone(context: &Context, by: &By) -> Result<(), Error> {
    match by {
        By::Record(record)
            if !context.inside
                && !context.operator
                && record.member_id.as_str() != context.caller.member_id =>
        {
            Err(Error::PersonUnknown)
        }
        _ => Ok(()),
    }
}

/// Leaves a member its own records; a person of whom it has none it does not know.
pub(crate) fn own_records_alone<T>(
    context: &Context,
    records: &mut Vec<T>,
    reference: impl Fn(&T) -> &RecordRef,
) -> Result<(), Error> {
    if context.inside || context.operator {
        return Ok(());
    }
    records.retain(|record| reference(record).member_id.as_str() == context.caller.member_id);
    if records.is_empty() { Err(Error::PersonUnknown) } else { Ok(()) }
}
