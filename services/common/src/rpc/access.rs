//! Who may call what: one table, which is also its documentation.
//!
//! A call from a service of the exchange is allowed where the row says so. A call from a member needs a token
//! whose role the row lists; the operator's own staff have a list of their own, because a member vouches for the
//! roles of its users and must not be able to appoint an operator. A method without a row is refused.

use signpost_proto::{
    common::v1::Role::{
        self, Clerk, Nurse, Operator, Patient, Physician, PrivacyOfficer, Representative, Steward, System,
    },
    directory::v1::MemberKind,
};

/// Who may call one method.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Full name of the method.
    pub method: &'static str,
    /// Services of the exchange, on their own behalf or for a caller they admitted.
    pub exchange: bool,
    /// Roles of members' users.
    pub members: &'static [Role],
    /// Roles of the operator's users.
    pub operator: &'static [Role],
    /// Whether any certificate that verifies is enough, without a token and without asking the directory: what it
    /// tells is no secret, and must be told when the directory is down.
    pub open: bool,
}

const NOBODY: &[Role] = &[];
const STAFF: &[Role] = &[Physician, Nurse, Clerk, System];
const CARE: &[Role] = &[Physician, Nurse, Patient, Representative];
const EVERYONE: &[Role] = &[Physician, Nurse, Clerk, Steward, PrivacyOfficer, System];

macro_rules! table {
    ($($service:literal { $($method:literal: $exchange:ident, $members:expr, $operator:expr;)+ })+) => {
        &[$($(Rule {
            method: concat!("/", $service, "/", $method),
            exchange: table!(@$exchange),
            members: $members,
            operator: $operator,
            open: false,
        },)+)+
        open("/grpc.health.v1.Health/Check"),
        open("/grpc.health.v1.Health/List"),
        open("/grpc.health.v1.Health/Watch"),
        open("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
        ]
    };
    (@inside) => { true };
    (@outside) => { false };
}

const fn open(method: &'static str) -> Rule {
    Rule { method, exchange: true, members: NOBODY, operator: NOBODY, open: true }
}

/// The table. `inside`: services of the exchange may call it; then members' roles; then the operator's roles.
pub const TABLE: &[Rule] = table! {
    "signpost.mpi.v1.MasterPatientIndexService" {
        "RegisterPatient":      outside, STAFF, NOBODY;
        "FeedPatients":         outside, &[System, Clerk], NOBODY;
        "MatchPatient":         inside,  STAFF, &[Steward];
        "GetPerson":            inside,  STAFF, &[Steward];
        "ListPersonRecords":    inside,  STAFF, &[Steward];
        "Link":                 outside, NOBODY, &[Steward];
        "Unlink":               outside, NOBODY, &[Steward];
        "Merge":                outside, NOBODY, &[Steward];
        "Split":                outside, NOBODY, &[Steward];
        "Undo":                 outside, NOBODY, &[Steward];
        "ListLinkEvents":       outside, NOBODY, &[Steward];
        "ListReviewTasks":      outside, NOBODY, &[Steward];
        "ResolveReviewTask":    outside, NOBODY, &[Steward];
        "ExplainMatch":         outside, NOBODY, &[Steward];
        "WatchIdentityChanges": outside, &[System], &[Steward];
    }
    "signpost.mpi.v1.MatchingModelService" {
        "TrainModel":           outside, NOBODY, &[Operator, Steward];
        "GetModel":             outside, NOBODY, &[Operator, Steward];
        "ListModels":           outside, NOBODY, &[Operator, Steward];
        "ListModelChanges":     outside, NOBODY, &[Operator, Steward];
        "PromoteModel":         outside, NOBODY, &[Operator, Steward];
        "DiscardModel":         outside, NOBODY, &[Operator, Steward];
    }
    "signpost.registry.v1.DocumentRegistryService" {
        "RegisterDocument":     outside, STAFF, NOBODY;
        "RegisterDocuments":    outside, &[System, Clerk], NOBODY;
        "ReplaceDocument":      outside, STAFF, NOBODY;
        "DeprecateDocument":    outside, STAFF, NOBODY;
        "GetDocument":          inside,  STAFF, NOBODY;
        "SearchDocuments":      inside,  STAFF, NOBODY;
        "CountDocuments":       inside,  STAFF, NOBODY;
        "ReportRetrieval":      inside,  NOBODY, NOBODY;
        "WatchDocuments":       outside, &[System], &[Operator];
        "ListProbes":           inside,  NOBODY, NOBODY;
        "GetScoreboard":        outside, &[System, PrivacyOfficer], &[Operator];
    }
    "signpost.consent.v1.ConsentService" {
        "CreateDirective":      outside, &[Patient, Representative, Clerk, PrivacyOfficer], NOBODY;
        "ImportConsent":        outside, &[Patient, Representative, Clerk, PrivacyOfficer], NOBODY;
        "ExportConsent":        outside, &[Patient, Representative, Clerk, PrivacyOfficer], NOBODY;
        "GetDirective":         outside, &[Patient, Representative, Clerk, PrivacyOfficer], NOBODY;
        "ListDirectives":       outside, &[Patient, Representative, Clerk, PrivacyOfficer], NOBODY;
        "RevokeDirective":      outside, &[Patient, Representative, Clerk, PrivacyOfficer], NOBODY;
        "Decide":               inside,  NOBODY, NOBODY;
        "ExplainDecision":      inside,  NOBODY, &[PrivacyOfficer, Operator];
    }
    "signpost.consent.v1.PolicyService" {
        "DraftPolicy":          outside, NOBODY, &[Operator];
        "ValidatePolicy":       outside, NOBODY, &[Operator, PrivacyOfficer];
        "SimulatePolicy":       outside, NOBODY, &[Operator, PrivacyOfficer];
        "ActivatePolicy":       outside, NOBODY, &[Operator];
        "RollbackPolicy":       outside, NOBODY, &[Operator];
        "GetPolicyVersion":     outside, NOBODY, &[Operator, PrivacyOfficer];
        "ListPolicyVersions":   outside, NOBODY, &[Operator, PrivacyOfficer];
    }
    "signpost.consent.v1.NoticeService" {
        "RecordReleaseNotices": inside,  NOBODY, NOBODY;
        "ListNotices":          outside, &[Patient, Representative, PrivacyOfficer], &[PrivacyOfficer];
        "AcknowledgeNotice":    outside, &[Patient, Representative, PrivacyOfficer], &[PrivacyOfficer];
    }
    "signpost.consent.v1.EmergencyAccessService" {
        "OpenEmergencyAccess":     outside, &[Physician], NOBODY;
        "CloseEmergencyAccess":    outside, &[Physician], NOBODY;
        "ListEmergencyReviews":    outside, &[PrivacyOfficer], &[PrivacyOfficer];
        "CompleteEmergencyReview": outside, &[PrivacyOfficer], &[PrivacyOfficer];
    }
    "signpost.directory.v1.DirectoryService" {
        "CreateMember":         outside, NOBODY, &[Operator];
        "GetMember":            inside,  EVERYONE, &[Operator, PrivacyOfficer, Steward];
        "ListMembers":          inside,  EVERYONE, &[Operator, PrivacyOfficer, Steward];
        "UpdateMember":         outside, NOBODY, &[Operator];
        "AddCertificate":       outside, NOBODY, &[Operator];
        "RevokeCertificate":    outside, NOBODY, &[Operator];
        "AddTokenKey":          outside, NOBODY, &[Operator];
        "RevokeTokenKey":       outside, NOBODY, &[Operator];
        "SetEndpoint":          outside, &[System], &[Operator];
        "DeleteEndpoint":       outside, &[System], &[Operator];
        "SetPurposeGrants":     outside, NOBODY, &[Operator];
        "ResolveCertificate":   inside,  NOBODY, NOBODY;
        "UseTokens":            inside,  NOBODY, NOBODY;
    }
    "signpost.audit.v1.AuditLogService" {
        "Append":               inside,  NOBODY, NOBODY;
        "SearchEvents":         inside,  &[PrivacyOfficer], &[PrivacyOfficer, Operator];
        "ListDisclosures":      inside,  &[Patient, Representative, PrivacyOfficer], NOBODY;
        "GetCheckpoint":        outside, EVERYONE, &[Operator, PrivacyOfficer];
        "WatchCheckpoints":     outside, EVERYONE, &[Operator, PrivacyOfficer];
        "GetInclusionProof":    outside, &[PrivacyOfficer], &[Operator, PrivacyOfficer];
        "GetConsistencyProof":  outside, EVERYONE, &[Operator, PrivacyOfficer];
        "WatchFlags":           outside, &[PrivacyOfficer], &[PrivacyOfficer];
        "ListFlags":            outside, &[PrivacyOfficer], &[PrivacyOfficer];
        "AcknowledgeFlag":      outside, &[PrivacyOfficer], &[PrivacyOfficer];
        "ReplayFlags":          outside, NOBODY, &[PrivacyOfficer];
    }
    "signpost.locator.v1.RecordLocatorService" {
        "Locate":               outside, CARE, NOBODY;
        "ListDocuments":        outside, CARE, NOBODY;
        "GetLocateRun":         outside, &[Physician, Nurse], NOBODY;
        "ListLocateRuns":       outside, &[PrivacyOfficer], &[PrivacyOfficer];
        "FetchDocument":        outside, CARE, NOBODY;
        "FetchHistory":         outside, CARE, NOBODY;
        "BuildSummary":         outside, CARE, NOBODY;
    }
    "signpost.source.v1.DocumentSourceService" {
        "RetrieveDocument":     inside,  NOBODY, NOBODY;
        "CheckDocuments":       inside,  NOBODY, NOBODY;
    }
};

/// Returns the row of a method.
pub fn rule(method: &str) -> Option<&'static Rule> {
    TABLE.iter().find(|rule| rule.method == method)
}

impl Rule {
    /// True when a call changes nothing, but for counts and what it has [`AuditTrail`](super::audit::AuditTrail) record. Its answer
    /// can be made while it is found out whether its token counts, and be thrown away. The audit log itself records by another way.
    pub fn only_looks(&self) -> bool {
        let name = self.method.rsplit('/').next().unwrap_or_default();
        let records_itself = self.method.starts_with("/signpost.audit.");
        !records_itself
            && ["Get", "List", "Locate", "Match", "Search"].iter().any(|verb| name.starts_with(verb))
    }

    /// True when a user of such a member may call it in such a role.
    pub fn permits(&self, kind: MemberKind, role: Role) -> bool {
        match kind {
            MemberKind::Operator => self.operator.contains(&role),
            MemberKind::Provider | MemberKind::Payer | MemberKind::PublicHealth => {
                self.members.contains(&role)
            }
            MemberKind::Exchange | MemberKind::Unspecified => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use prost::Message;

    use super::*;

    /// Every method of the contract, as `/package.Service/Method`.
    fn contract() -> HashSet<String> {
        let set = prost_types::FileDescriptorSet::decode(signpost_proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut methods = HashSet::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    methods.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                }
            }
        }
        methods
    }

    #[test]
    fn every_method_has_one_row_and_every_row_a_method() {
        let rows: HashSet<_> = TABLE.iter().filter(|r| !r.open).map(|r| r.method.to_owned()).collect();
        assert_eq!(rows.len(), TABLE.iter().filter(|r| !r.open).count(), "a method has two rows");
        assert_eq!(rows, contract());
    }

    #[test]
    fn what_changes_something_does_not_only_look() {
        let names = |looks| {
            let rules = TABLE.iter().filter(move |rule| !rule.open && rule.only_looks() == looks);
            rules.map(|rule| rule.method.rsplit('/').next().unwrap()).collect::<HashSet<_>>()
        };
        let (looks, others) = (names(true), names(false));
        assert!(looks.contains("Locate") && looks.contains("MatchPatient") && looks.contains("GetPerson"));
        for change in
            ["RegisterPatient", "Link", "RevokeDirective", "OpenEmergencyAccess", "FetchDocument", "Append"]
        {
            assert!(others.contains(change), "{change}");
        }
    }

    #[test]
    fn a_member_cannot_appoint_an_operator() {
        for rule in TABLE {
            assert!(!rule.permits(MemberKind::Provider, Role::Operator), "{}", rule.method);
            assert!(!rule.permits(MemberKind::Exchange, Role::Operator), "{}", rule.method);
        }
        let update = rule("/signpost.directory.v1.DirectoryService/UpdateMember").unwrap();
        assert!(update.permits(MemberKind::Operator, Role::Operator));
        assert!(!update.permits(MemberKind::Operator, Role::Physician));
    }
}
