//! Following decisions: a stream that goes on by itself where the exchange ends it.

use std::process::ExitCode;

use clap::Args;
use signpost_common::rpc::status;
use signpost_proto::mpi::v1::{WatchIdentityChangesRequest, WatchIdentityChangesResponse};
use tonic::{Code, Status};

use super::{Desk, Staff, kind, refused, shown_record, shown_time};

#[derive(Debug, Args)]
pub(in crate::cli) struct Watch {
    #[command(flatten)]
    staff: Staff,
    /// Go on after the line that ends with this token [default: from the first decision]
    // A token is base64url, so one in 64 begins with a hyphen.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "TOKEN",
        allow_hyphen_values = true
    )]
    from: String,
}

impl Watch {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = self.staff.desk()?;
        let mut token = self.from.clone();
        let ended = tokio::select! {
            error = follow(&desk, &mut token) => Err(error),
            asked = tokio::signal::ctrl_c() => asked.map_err(anyhow::Error::from),
        };
        if token != self.from {
            eprintln!("to go on from here: --from {token}");
        }
        ended.map(|()| ExitCode::SUCCESS)
    }
}

/// Prints decisions until something fails, and keeps the last token.
async fn follow(desk: &Desk, token: &mut String) -> anyhow::Error {
    loop {
        match follow_stream(desk, token).await {
            Ok(end) if goes_on(&end) => {}
            Ok(end) => return refused(&end),
            Err(error) => return error,
        }
    }
}

/// Prints decisions until the stream ends, and returns how it did.
async fn follow_stream(desk: &Desk, token: &mut String) -> anyhow::Result<Status> {
    let request = desk.request(WatchIdentityChangesRequest { resume_token: token.clone() })?;
    let mut changes = match desk.mpi().watch_identity_changes(request).await {
        Ok(changes) => changes.into_inner(),
        Err(end) => return Ok(end),
    };
    loop {
        match changes.message().await {
            Ok(Some(change)) => {
                show(&change);
                *token = change.resume_token;
            }
            Ok(None) => return Ok(Status::unknown("the stream ended")),
            Err(end) => return Ok(end),
        }
    }
}

/// True when the exchange only wants to be asked again.
fn goes_on(end: &Status) -> bool {
    end.code() == Code::Unavailable && status::reason(end) == "RESUME"
}

fn show(change: &WatchIdentityChangesResponse) {
    let event = change.event.clone().unwrap_or_default();
    println!(
        "{} {} {} {} {} -> {} by {} {}",
        event.sequence,
        shown_time(event.decided_at.as_ref()),
        kind(&event),
        shown_record(event.record.as_ref()),
        if event.from_person_id.is_empty() { "nobody" } else { &event.from_person_id },
        event.to_person_id,
        event.actor,
        change.resume_token,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stream_that_is_to_be_resumed_goes_on_by_itself() {
        assert!(goes_on(&status::unavailable("RESUME", "go on with the last token")));
        assert!(!goes_on(&status::unavailable("STOPPING", "the service stops")));
        assert!(!goes_on(&Status::unavailable("nobody is there")));
        assert!(!goes_on(&status::precondition("RESUME", "no")));
    }
}
