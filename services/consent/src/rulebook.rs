//! The rules in force for a patient, read once per state of things and kept at hand.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use signpost_common::id::RecordRef;

use crate::{
    document::{Document, NetworkDefault},
    domain::{Policy, Rule},
    error::Error,
    store::{Epoch, Store},
};

/// Most patients whose directives are kept at hand.
const PATIENTS_MAX: usize = 4096;

/// What a decision on a patient rests on.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) policy: Arc<Policy>,
    pub(crate) patient: Arc<[Rule]>,
    pub(crate) epoch: Epoch,
}

/// Directives as of an epoch.
type AsOf = (i64, Arc<[Rule]>);

/// Reads rules. Nothing is used without asking the database first whether it still holds, so that a revocation or a policy is
/// in force in every process at once.
pub(crate) struct Rulebook {
    store: Arc<dyn Store>,
    /// What holds before the first activation.
    default: Arc<Policy>,
    policies: Mutex<HashMap<i64, Arc<Policy>>>,
    patients: Mutex<HashMap<Vec<RecordRef>, AsOf>>,
}

impl Rulebook {
    pub(crate) fn new(store: Arc<dyn Store>, default: NetworkDefault) -> Self {
        let default = Arc::new(default.policy());
        Self { store, default, policies: Mutex::default(), patients: Mutex::default() }
    }

    /// Returns what holds for a patient with these records, each of them once.
    pub(crate) async fn standing(&self, records: &[RecordRef], now_us: i64) -> Result<Standing, Error> {
        let epoch = self.store.epoch(records).await?;
        let (policy, patient) =
            tokio::try_join!(self.policy(epoch.policy), self.patient(records, epoch.directives, now_us))?;
        Ok(Standing { policy, patient, epoch })
    }

    /// Returns the policy in force.
    pub(crate) async fn in_force(&self) -> Result<Arc<Policy>, Error> {
        let activation = self.store.activated(None).await?.and_then(|stored| stored.activated);
        self.policy(activation.map_or(0, |activation| activation.sequence)).await
    }

    async fn policy(&self, sequence: i64) -> Result<Arc<Policy>, Error> {
        if sequence == 0 {
            return Ok(self.default.clone());
        }
        let known = self.policies.lock().unwrap_or_else(PoisonError::into_inner).get(&sequence).cloned();
        if let Some(policy) = known {
            return Ok(policy);
        }
        let stored = self.store.activated(Some(sequence)).await?.ok_or(Error::PolicyUnknown)?;
        let policy = Arc::new(read(&stored.version, &stored.source)?);
        let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        // The one in force is enough.
        policies.clear();
        policies.insert(sequence, policy.clone());
        Ok(policy)
    }

    async fn patient(&self, records: &[RecordRef], epoch: i64, now_us: i64) -> Result<Arc<[Rule]>, Error> {
        let known = self.patients.lock().unwrap_or_else(PoisonError::into_inner).get(records).cloned();
        if let Some((_, rules)) = known.filter(|(as_of, _)| *as_of == epoch) {
            return Ok(rules);
        }
        let directives = self.store.standing(records, now_us).await?;
        let rules: Arc<[Rule]> = directives.into_iter().map(Rule::from).collect();
        let mut patients = self.patients.lock().unwrap_or_else(PoisonError::into_inner);
        if patients.len() >= PATIENTS_MAX {
            patients.clear();
        }
        patients.insert(records.to_vec(), (epoch, rules.clone()));
        Ok(rules)
    }

    /// Returns a version of the policy, whether or not it is in force.
    pub(crate) async fn version(&self, version: &str) -> Result<Arc<Policy>, Error> {
        if let Some(shipped) = NetworkDefault::of_version(version) {
            return Ok(Arc::new(shipped.policy()));
        }
        let source = match self.store.policy(version).await? {
            Some(stored) => stored.source,
            None => self.store.shipped(version).await?.ok_or(Error::PolicyUnknown)?,
        };
        Ok(Arc::new(read(version, &source)?))
    }
}

/// Reads a policy that was stored; it was checked before.
fn read(version: &str, source: &str) -> Result<Policy, Error> {
    let document = Document::parse(source);
    let document = document.map_err(|_| signpost_common::db::Error::Corrupt("policy"))?;
    Ok(document.policy(version))
}
