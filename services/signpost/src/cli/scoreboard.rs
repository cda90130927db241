//! `signpost scoreboard`: how good each member's pointers are, and how long its certificates still hold.

use std::{collections::HashMap, process::ExitCode};

use clap::Args;
use comfy_table::CellAlignment;
use jiff::Timestamp;
use signpost_common::{
    clock::{self, Clock, SystemClock},
    rpc::token::User,
};
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    directory::v1::GetMemberRequest,
    registry::v1::{GetScoreboardRequest, MemberScore},
};

use super::{Who, explain, table};
use crate::client::Client;

const DAY_S: i64 = 86_400;

#[derive(Debug, Args)]
pub(super) struct Scoreboard {
    #[command(flatten)]
    who: Who,
    /// Days to look back for retrievals, probes and the lag of feeds
    #[arg(long, default_value_t = 7, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=90))]
    days: u32,
}

impl Scoreboard {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.who.client()?;
        let user = self.who.user(Role::Operator, PurposeOfUse::Hoperat)?;
        let request = client.request(&user, GetScoreboardRequest { days: self.days })?;
        let answer = client.registry().get_scoreboard(request).await.map_err(|e| explain(&e))?;
        let scores = answer.into_inner().scores;
        if scores.is_empty() {
            println!("nobody has registered a document");
            return Ok(ExitCode::SUCCESS);
        }
        let ends = certificates(&client, &user, &scores).await?;
        show(&scores, &ends, SystemClock.now());
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns when the last certificate of each member ends that was not revoked.
async fn certificates(
    client: &Client,
    user: &User,
    scores: &[MemberScore],
) -> anyhow::Result<HashMap<String, Timestamp>> {
    let mut ends = HashMap::new();
    for MemberScore { member_id, .. } in scores {
        let request = client.request(user, GetMemberRequest { member_id: member_id.clone() })?;
        let answer = client.directory().get_member(request).await.map_err(|e| explain(&e))?.into_inner();
        let certificates = answer.member.map(|member| member.certificates).unwrap_or_default();
        let standing = certificates.iter().filter(|certificate| certificate.revoked_at.is_none());
        let end = standing.filter_map(|certificate| clock::from_proto(certificate.not_after.as_ref()?));
        ends.extend(end.max().map(|end| (member_id.clone(), end)));
    }
    Ok(ends)
}

fn show(scores: &[MemberScore], ends: &HashMap<String, Timestamp>, now: Timestamp) {
    let header = [
        "member",
        "current",
        "suspect",
        "dead",
        "twice",
        "fetches",
        "failed",
        "probes",
        "failed",
        "p50 ms",
        "p99 ms",
        "lag",
        "last",
        "certificate",
    ];
    let mut rows = table(&header);
    for column in 1..header.len() {
        rows.column_mut(column)
            .into_iter()
            .for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    }
    for score in scores {
        let last = score.last_registered_at.as_ref().and_then(clock::from_proto);
        let end = ends.get(&score.member_id);
        rows.add_row([
            score.member_id.clone(),
            score.current.to_string(),
            share(score.suspect, score.current),
            share(score.dead, score.current),
            share(score.duplicates, score.current),
            score.retrievals.to_string(),
            share(score.failures, score.retrievals),
            score.probes.to_string(),
            share(score.failed_probes, score.probes),
            score.p50_ms.to_string(),
            score.p99_ms.to_string(),
            score.feed_lag_seconds_p50.map(|s| lasting(s.cast_signed())).unwrap_or_default(),
            last.map(|last| format!("{} ago", lasting(now.as_second() - last.as_second())))
                .unwrap_or_default(),
            match end {
                None => "none".to_owned(),
                Some(end) if *end <= now => "EXPIRED".to_owned(),
                Some(end) => format!("ends in {}", lasting(end.as_second() - now.as_second())),
            },
        ]);
    }
    println!("{rows}");
}

/// Writes a number with its part of a whole, where there is some.
fn share(part: u64, whole: u64) -> String {
    match (part, whole) {
        (0, _) => "0".to_owned(),
        (_, 0) => part.to_string(),
        _ => format!("{part} ({:.1} %)", part as f64 * 100.0 / whole as f64),
    }
}

/// Writes how long something lasts, in the unit that people would use.
fn lasting(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7_200 => format!("{} min", s / 60),
        s if s < 2 * DAY_S => format!("{} h", s / 3_600),
        s => format!("{} d", s / DAY_S),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_their_unit() {
        let shown = [-5, 119, 120, 7_199, 7_200, 2 * DAY_S - 1, 2 * DAY_S].map(lasting);
        assert_eq!(shown, ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 d"]);
    }

    #[test]
    fn a_part_is_shown_with_its_share() {
        assert_eq!([share(0, 0), share(1, 3), share(2, 0)], ["0", "1 (33.3 %)", "2"]);
    }
}
