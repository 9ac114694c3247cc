//! What the status of a resource records of its account, or group: which id, at which backend, in step
//! with which spec. An id of another backend may be a stranger's.

/// The record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// `status.id`.
    pub id: Option<&'a str>,
    /// `status.endpointHash`: the backend that the id is of.
    pub endpoint_hash: Option<&'a str>,
    /// `status.syncedGeneration`.
    pub synced_generation: Option<i64>,
}

impl<'a> Record<'a> {
    /// The recorded id, where it is one of the backend that the connection leads to now.
    pub fn at(&self, backend: Option<&str>) -> Option<&'a str> {
        self.id.filter(|_| self.endpoint_hash == backend)
    }

    /// The id that `spec.adopt` names, as far as it is still to be taken over: once, at the backend that
    /// it was meant for. After that it means a stranger there, or nobody, unless the spec was edited.
    pub fn adopts(
        &self,
        adopt: Option<&'a str>,
        backend: Option<&str>,
        generation: Option<i64>,
    ) -> Option<&'a str> {
        let elsewhere = self.at(backend).is_none();
        let edited = self.synced_generation != generation;
        adopt.filter(|adopt| self.id.is_none() || (elsewhere && self.id != Some(*adopt) && edited))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<&str> = Some("here");

    fn record(id: Option<&'static str>, backend: Option<&'static str>) -> Record<'static> {
        Record {
            id,
            endpoint_hash: backend,
            synced_generation: Some(1),
        }
    }

    #[test]
    fn an_id_counts_at_its_own_backend_only() {
        for (record, expected, why) in [
            (record(Some("7"), HERE), Some("7"), "recorded here"),
            (
                record(Some("7"), Some("there")),
                None,
                "perhaps a stranger's here",
            ),
            (record(Some("7"), None), None, "of nobody knows where"),
            (record(None, HERE), None, "nothing recorded"),
        ] {
            assert_eq!(record.at(HERE), expected, "{why}");
        }
    }

    #[test]
    fn an_id_is_adopted_once_and_again_only_by_an_edit() {
        let elsewhere = record(Some("7"), Some("there"));
        for (record, adopt, generation, expected, why) in [
            (
                record(None, None),
                "7",
                1,
                Some("7"),
                "nothing was ever taken",
            ),
            (record(Some("7"), HERE), "7", 2, None, "taken over already"),
            (
                record(Some("9"), HERE),
                "7",
                2,
                None,
                "provisioned as another",
            ),
            (
                elsewhere,
                "7",
                2,
                None,
                "it was meant for the other backend",
            ),
            (
                elsewhere,
                "8",
                1,
                None,
                "left in the spec from a backend before that",
            ),
            (
                elsewhere,
                "8",
                2,
                Some("8"),
                "named for this backend by an edit",
            ),
        ] {
            let adopted = record.adopts(Some(adopt), HERE, Some(generation));
            assert_eq!(adopted, expected, "{why}");
        }
    }
}
