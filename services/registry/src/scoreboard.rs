//! The scoreboard: how good each custodian's pointers are.
//!
//! It takes reading all pointers, so what was found stands for a minute, and one is made at a time, whoever asks.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use signpost_common::id::MemberId;
use tokio::sync::Semaphore;

use crate::{domain::score::Scores, error::Error, store::Store};

/// How long a scoreboard stands.
const STANDS_US: i64 = 60_000_000;

/// Most scoreboards that are kept.
const KEPT_MAX: usize = 64;

/// Whose pointers, and the days looked at.
type Scope = (Option<MemberId>, u32);

/// Keeps scoreboards for a while.
#[derive(Debug)]
pub(crate) struct Scoreboard {
    /// Lets one be made at a time.
    making: Semaphore,
    made: Mutex<HashMap<Scope, (i64, Scores)>>,
}

impl Default for Scoreboard {
    fn default() -> Self {
        Self { making: Semaphore::new(1), made: Mutex::default() }
    }
}

impl Scoreboard {
    /// Returns scores of one custodian, or of all.
    pub(crate) async fn scores(
        &self,
        store: &dyn Store,
        custodian: Option<MemberId>,
        days: u32,
        now_us: i64,
    ) -> Result<Scores, Error> {
        let scope = (custodian, days);
        let _one = self.making.acquire().await;
        if let Some(scores) = self.standing(&scope, now_us) {
            return Ok(scores);
        }
        let since_us = now_us - i64::from(days) * 24 * crate::domain::score::HOUR_US;
        let scores = store.scores(scope.0.as_ref(), since_us).await?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|_, (made_us, _)| stands(*made_us, now_us));
        if made.len() < KEPT_MAX {
            made.insert(scope, (now_us, scores.clone()));
        }
        Ok(scores)
    }

    fn standing(&self, scope: &Scope, now_us: i64) -> Option<Scores> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let (made_us, scores) = made.get(scope)?;
        stands(*made_us, now_us).then(|| scores.clone())
    }
}

fn stands(made_us: i64, now_us: i64) -> bool {
    (0..STANDS_US).contains(&now_us.saturating_sub(made_us))
}
