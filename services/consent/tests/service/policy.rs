//! Policies in versions, and decisions explained and replayed.

use signpost_common::{id::PersonId, rpc::status};
use signpost_consent::document::NetworkDefault;
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    consent::v1::{self as proto, Effect},
};
use tonic::{Code, Status};

use super::support::{As, Consent, denial, refused, wrong};

const RESEARCH: &str = "name = \"research\"\nsummary = \"a test\"\n[[network]]\nname = \"care\"\n\
    effect = \"deny\"\nmatch = { purposes = [\"ETREAT\"] }\n";

impl As {
    async fn draft(&mut self, source: &str) -> Result<proto::PolicyVersion, Status> {
        let request = proto::DraftPolicyRequest { source: source.into(), request_id: String::new() };
        Ok(self.policy.draft_policy(request).await?.into_inner().version.unwrap())
    }

    async fn activate(&mut self, version: &str) -> Result<proto::PolicyVersion, Status> {
        let request = proto::ActivatePolicyRequest { version: version.into(), request_id: String::new() };
        Ok(self.policy.activate_policy(request).await?.into_inner().version.unwrap())
    }

    async fn roll_back(&mut self, request_id: &str) -> Result<proto::PolicyVersion, Status> {
        let request = proto::RollbackPolicyRequest { version: String::new(), request_id: request_id.into() };
        Ok(self.policy.rollback_policy(request).await?.into_inner().version.unwrap())
    }
}

#[tokio::test]
async fn a_policy_is_in_force_from_its_activation_to_its_rollback() {
    let service = Consent::start().await;
    let mut operator = service.caller("operator", "op", Role::Operator);
    let mut doctor = service.caller("south", "dr-lee", Role::Physician);
    let person = PersonId::generate().to_string();
    let before = doctor.decide(&person, "").await.unwrap();
    let shipped = NetworkDefault::OptOut.version();
    assert_eq!((&*before.policy_version, before.decisions[0].effect()), (&*shipped, Effect::Permit));

    refused(operator.roll_back("r0").await, Code::FailedPrecondition, "POLICY_FIRST");
    refused(operator.activate("research@1").await, Code::NotFound, "POLICY_UNKNOWN");
    wrong(operator.draft("name = 1").await, "source");
    let drafted = operator.draft(RESEARCH).await.unwrap();
    assert_eq!(
        (&*drafted.version, drafted.active, &*drafted.drafted_by),
        ("research@1", false, "operator/op")
    );
    assert_eq!(doctor.decide(&person, "").await.unwrap().policy_version, shipped, "a draft is not in force");

    assert!(operator.activate("research@1").await.unwrap().active);
    let after = doctor.decide(&person, "").await.unwrap();
    assert_eq!((&*after.policy_version, after.decisions[0].effect()), ("research@1", Effect::Deny));
    assert_eq!(after.decisions[0].rule_ids, ["network:care"]);
    assert!(after.epoch > before.epoch);

    let opt_out = operator.draft(NetworkDefault::OptOut.source()).await.unwrap().version;
    operator.activate(&opt_out).await.unwrap();
    assert_eq!(doctor.decide(&person, "").await.unwrap().decisions[0].effect(), Effect::Permit);
    assert_eq!(operator.roll_back("r1").await.unwrap().version, "research@1");
    assert_eq!(operator.roll_back("r1").await.unwrap().version, "research@1", "the same attempt");
    assert_eq!(doctor.decide(&person, "").await.unwrap().policy_version, "research@1");

    let shown = operator.policy.get_policy_version(proto::GetPolicyVersionRequest::default()).await.unwrap();
    assert_eq!(shown.into_inner().source, RESEARCH);
    let listed = operator.policy.list_policy_versions(proto::ListPolicyVersionsRequest::default()).await;
    let listed = listed.unwrap().into_inner().versions;
    let listed: Vec<_> = listed.iter().map(|v| (&*v.version, v.active)).collect();
    assert_eq!(listed, [("opt-out@2", false), ("research@1", true)]);
    let changes: Vec<_> = service.events().into_iter().map(|event| event.action).collect();
    assert!(changes.iter().any(|action| action.ends_with("PolicyService/RollbackPolicy")), "{changes:?}");
}

/// Waits until a decision is kept, which happens behind the answer.
async fn explained(operator: &mut As, decision_id: &str) -> proto::ExplainDecisionResponse {
    for _ in 0..100 {
        let request = proto::ExplainDecisionRequest { decision_id: decision_id.into(), ..Default::default() };
        match operator.consent.explain_decision(request).await {
            Err(error) if status::reason(&error) == "DECISION_UNKNOWN" => {}
            explained => return explained.unwrap().into_inner(),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    unreachable!("the decision was not kept");
}

#[tokio::test]
async fn a_decision_is_explained_and_replayed_as_it_was() {
    let service = Consent::start().await;
    let mut patient = service.caller("north", "p1", Role::Patient);
    let mut operator = service.caller("operator", "op", Role::Operator);
    let mut doctor = service.caller("south", "dr-lee", Role::Physician);
    let person = PersonId::generate().to_string();
    let made = patient.create(denial(), "1").await.unwrap();
    let denied = doctor.decide(&person, "").await.unwrap();
    assert_eq!(denied.decisions[0].effect(), Effect::Deny);
    let revoke =
        proto::RevokeDirectiveRequest { directive_id: made.directive_id.clone(), ..Default::default() };
    patient.consent.revoke_directive(revoke).await.unwrap();
    let permitted = doctor.decide(&person, "").await.unwrap();
    assert_eq!(permitted.decisions[0].effect(), Effect::Permit);

    let then = explained(&mut operator, &denied.decision_id).await;
    assert_eq!(
        then.decision.unwrap(),
        denied.decisions[0],
        "the directive is revoked since, and told as it stood"
    );
    let deciding = then.rules.iter().find(|rule| rule.decided).unwrap();
    assert_eq!(
        (&*deciding.rule_id, &*then.policy_version),
        (&*made.directive_id, &*NetworkDefault::OptOut.version())
    );
    explained(&mut operator, &permitted.decision_id).await;

    let policy = Some(proto::simulate_policy_request::Policy::Source(RESEARCH.into()));
    let simulate = proto::SimulatePolicyRequest { policy, since: None };
    let would = operator.policy.simulate_policy(simulate).await.unwrap().into_inner();
    assert_eq!((would.replayed, would.differing, would.flips.len()), (2, 1, 1));
    let flip = &would.flips[0];
    assert_eq!((&*flip.decision_id, &*flip.rule_after), (&*permitted.decision_id, "network:care"));
    assert_eq!((flip.before(), flip.after()), (Effect::Permit, Effect::Deny));

    // What would be, for somebody else.
    let research = proto::SupposedRequester {
        member_id: "east".into(),
        role: Role::Physician.into(),
        purpose: PurposeOfUse::Hresch.into(),
        ..Default::default()
    };
    let what_if = proto::ExplainDecisionRequest {
        decision_id: permitted.decision_id.clone(),
        requester: Some(research),
        ..Default::default()
    };
    let supposed = operator.consent.explain_decision(what_if).await.unwrap().into_inner();
    assert_eq!(supposed.decision.unwrap().rule_ids, ["default:deny"]);
}
