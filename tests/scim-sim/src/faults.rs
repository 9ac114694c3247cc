//! What is wrong with the server: every switch is a deviation seen in a real product.
//!
//! This file only says what can be switched. Faults of transport strike in `server` and `spoil`,
//! faults of state in `operations` and `patch`, faults of replies in `render`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The switches; all off by default. Unknown names are refused when read from JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Every SCIM request waits this many milliseconds before it is looked at.
    pub latency_ms: u64,
    /// 401 for every token.
    pub unauthorized: bool,
    /// The next n requests are answered 429.
    pub throttle_next: u32,
    /// A write that is answered 429 is applied all the same.
    pub throttle_applied: bool,
    /// The Retry-After of a 429 or 503: seconds or an HTTP-date; no header when absent.
    pub retry_after: Option<String>,
    /// More requests than this within a second are answered 429.
    pub rate_limit_per_second: Option<u32>,
    /// The next writes fail.
    pub fail_next: FailNext,
    /// The next reads fail.
    pub fail_reads_next: FailReads,
    /// After the next n writes are applied, the connection closes without an answer.
    pub drop_reply_after_commit: u32,
    /// Requests are taken and never answered; nothing is applied.
    pub hang: bool,
    /// Every request is answered 200 with an HTML page.
    pub not_scim: bool,
    /// Reads are answered with a JSON document of this many MiB.
    pub giant_reply_mib: Option<u64>,
    /// Replies come one byte at a time, with this many milliseconds between them.
    pub slow_drip_ms: Option<u64>,
    /// Bodies of `application/scim+json` are refused with 415; `application/json` is accepted.
    pub refuse_scim_json: bool,
    /// Replies carry no Content-Type.
    pub no_content_type: bool,
    /// Bodies above this many bytes are answered 413.
    pub max_body_bytes: Option<usize>,

    /// Pages end after this many resources, though totalResults promises all.
    pub truncate_list: Option<usize>,
    /// totalResults is the number of resources on the page.
    pub lying_total: bool,
    /// Lists are empty, whatever exists.
    pub empty_list: bool,
    /// `startIndex` is ignored: every page is the first.
    pub ignore_start_index: bool,
    /// `Resources` is missing when there are none.
    pub omit_empty_resources: bool,
    /// Filters are ignored: everything is listed.
    pub ignore_filter: bool,

    /// PATCH is answered with this status (501 or 405), and ServiceProviderConfig says so.
    pub no_patch: Option<u16>,
    /// A PATCH operation without a path is answered 400.
    pub patch_requires_path: bool,
    /// PUT keeps what the body does not mention.
    pub put_is_partial: bool,
    /// ServiceProviderConfig, ResourceTypes and Schemas are answered 404.
    pub no_discovery: bool,
    /// Duplicates are answered with this status and without a scimType.
    pub conflict_status: Option<u16>,

    /// externalId is stored, never returned.
    pub external_id_not_echoed: bool,
    /// Attributes that are accepted and never returned, by bare name (`city`, `department`).
    pub drop_attribute: BTreeSet<String>,
    /// Booleans are returned as "True" and "False".
    pub stringly_booleans: bool,
    /// `active` is a number, `emails` an object, `meta` a string and totalResults a string.
    pub wrong_types: bool,
    /// userName is stored in lower case.
    pub lowercase_user_name: bool,
    /// Telephone numbers are kept as `tel:` URIs.
    pub canonical_phone_numbers: bool,
    /// userName is compared case-sensitively, in filters and for uniqueness.
    pub case_sensitive_user_name: bool,
    /// Archived users answer 404 and are not listed; PATCH still reaches them.
    pub inactive_users_404: bool,
    /// Archived users refuse any PATCH or PUT that changes more than `active`.
    pub archived_users_refuse_edits: bool,

    /// `members` is never returned.
    pub omit_members: bool,
    /// `remove members[value eq "…"]` is answered as a success and ignored.
    pub member_removal_filter_ignored: bool,
    /// `remove members` with a value list removes everyone.
    pub value_form_removal_wipes: bool,
    /// `replace members` leaves the members that are not in the new list.
    pub replace_members_keeps_stale: bool,
    /// More member changes than this in one request are answered 400.
    pub member_cap: Option<usize>,
    /// Adding a member that is already there is answered 500.
    pub readd_member_500: bool,
    /// POST of a group ignores its members.
    pub post_group_ignores_members: bool,
    /// A deleted user stays a member of its groups.
    pub deleted_users_stay_members: bool,

    /// Bulk is offered, and answered with this status and an error document; nothing is done.
    pub bulk_refused: Option<u16>,
    /// The next n answers to Bulk lack the result of their first operation, which was carried out.
    pub bulk_loses_result: u32,
    /// The next n Bulk requests fail in their last operation.
    pub bulk_fail_last: FailNext,
    /// Results come in the reverse order.
    pub bulk_reversed: bool,
    /// How the status of a result is written.
    pub bulk_status: BulkStatus,
}

impl Faults {
    /// Whether a stored resource differs from what is sent because of a switch.
    pub(crate) fn alter_documents(&self) -> bool {
        self.external_id_not_echoed
            || !self.drop_attribute.is_empty()
            || self.stringly_booleans
            || self.wrong_types
            || self.omit_members
    }
}

/// How the status of a Bulk result is written; RFC 7644 §3.7 wants text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkStatus {
    /// `"201"`.
    #[default]
    Text,
    /// `201`.
    Number,
    /// `{"code": "201"}`.
    Object,
}

/// Writes that fail, whether or not they were applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FailNext {
    /// How many writes fail.
    pub n: u32,
    /// The HTTP status they are answered with.
    pub status: u16,
    /// Whether they are applied all the same.
    pub applied: bool,
}

impl Default for FailNext {
    fn default() -> Self {
        Self {
            n: 0,
            status: 500,
            applied: false,
        }
    }
}

/// Reads that fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FailReads {
    /// How many reads fail.
    pub n: u32,
    /// The HTTP status they are answered with.
    pub status: u16,
}

impl Default for FailReads {
    fn default() -> Self {
        Self { n: 0, status: 500 }
    }
}
