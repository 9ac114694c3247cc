//! Accounts that our resources recorded and that the backend does not have any more, or not at the
//! endpoint that it has now. A few are made anew. Many at once mean another tenant, a token that sees
//! less, or a backend that was reset: nothing is made anew and nobody is deprovisioned until they are
//! there again, or a person says that it is so.

use super::guard::Limit;
use super::names;

/// More of them than may go by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// What an approval has to say.
    pub hash: String,
    /// How many are missing.
    pub count: u32,
    /// A person has said that it is so.
    pub approved: bool,
}

/// Active accounts that our resources recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All of them.
    pub recorded: u32,
    /// Of these, those that the backend lacks.
    pub missing: u32,
    /// Of these, those that were recorded at another endpoint.
    pub elsewhere: u32,
}

/// What is known of it at one connection.
#[derive(Debug, Default)]
pub struct Loss(Option<Lost>);

impl Loss {
    /// Takes up what was written down before a restart.
    pub fn restore(&mut self, lost: Option<Lost>) {
        self.0 = lost;
    }

    /// What a complete listing says: so many are missing of those that were recorded. At an endpoint that
    /// is new to all of them it takes one that is found to recognise it. What is known stands while
    /// it becomes less; more than that is another loss. `seed` makes its hash another one.
    pub fn judge(&mut self, count: Count, limit: Limit, seed: &str) {
        let Count {
            missing,
            recorded,
            elsewhere,
        } = count;
        let unknown = recorded > 0 && elsewhere == recorded && missing == recorded;
        let many = missing > limit.allowance(recorded) || unknown;
        let known = self.0.take();
        let known = known.filter(|known| many && missing <= known.count);
        self.0 = many.then(|| {
            let new = || Lost {
                hash: names::short_hash(&format!("lost {seed}")),
                count: missing,
                approved: false,
            };
            Lost {
                count: missing,
                ..known.unwrap_or_else(new)
            }
        });
    }

    /// They are there, though no listing has them; or it is another backend's matter.
    pub fn is_over(&mut self) {
        self.0 = None;
    }

    /// Whether nothing is made anew and nobody is deprovisioned.
    pub fn blocks(&self) -> bool {
        self.0.as_ref().is_some_and(|lost| !lost.approved)
    }

    /// Takes an approval, if it is of this loss; whether that changed anything.
    pub fn approve(&mut self, approval: Option<&str>) -> bool {
        match &mut self.0 {
            Some(lost) if !lost.approved && Some(&*lost.hash) == approval => {
                lost.approved = true;
                true
            }
            _ => false,
        }
    }

    /// What is missing, approved or not.
    pub fn lost(&self) -> Option<&Lost> {
        self.0.as_ref()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        max_percent: 10,
        minimum: 5,
        window: 3600,
    };

    #[test]
    fn r14_a_few_are_made_anew_and_many_wait_for_a_person() {
        for (missing, recorded, blocks, why) in [
            (0, 100, false, "all there"),
            (5, 20, false, "the minimum"),
            (6, 20, true, "beyond it"),
            (10, 100, false, "a tenth"),
            (11, 100, true, "beyond it"),
            (100, 100, true, "an empty listing"),
        ] {
            let mut loss = Loss::default();
            loss.judge(here(missing, recorded), LIMIT, "now");
            assert_eq!(loss.blocks(), blocks, "{why}");
        }
    }

    #[test]
    fn r14_a_new_endpoint_is_recognised_by_one_account() {
        for (recorded, missing, elsewhere, blocks, why) in [
            (1, 1, 1, true, "nobody is there"),
            (3, 2, 3, false, "one is"),
            (3, 3, 2, false, "one was recorded here"),
            (0, 0, 0, false, "a new connection"),
        ] {
            let mut loss = Loss::default();
            let count = Count {
                recorded,
                missing,
                elsewhere,
            };
            loss.judge(count, LIMIT, "now");
            assert_eq!(loss.blocks(), blocks, "{why}");
        }
    }

    fn here(missing: u32, recorded: u32) -> Count {
        Count {
            recorded,
            missing,
            elsewhere: 0,
        }
    }

    #[test]
    fn an_approval_is_not_of_what_is_lost_later() {
        let mut loss = Loss::default();
        loss.judge(here(12, 100), LIMIT, "ten");
        let hash = loss.lost().unwrap().hash.clone();
        loss.judge(here(90, 100), LIMIT, "half past ten");
        assert!(!loss.approve(Some(&hash)) && loss.blocks());
        let hash = loss.lost().unwrap().hash.clone();
        assert!(loss.approve(Some(&hash)));
        loss.judge(here(11, 100), LIMIT, "eleven");
        assert!(!loss.blocks(), "some cannot be made anew");
        loss.judge(here(50, 100), LIMIT, "noon");
        assert!(loss.blocks(), "lost again");
    }

    #[test]
    fn an_approval_is_of_one_loss_and_lasts_until_it_is_over() {
        let mut loss = Loss::default();
        loss.judge(here(100, 100), LIMIT, "monday");
        let hash = loss.lost().unwrap().hash.clone();
        assert!(!loss.approve(Some("other")) && !loss.approve(None) && loss.blocks());
        assert!(loss.approve(Some(&hash)) && !loss.blocks());
        assert!(!loss.approve(Some(&hash)), "it is no news twice");
        loss.judge(here(60, 100), LIMIT, "tuesday");
        assert!(!loss.blocks(), "forty were made anew, the others follow");
        let mut restarted = Loss::default();
        restarted.restore(loss.lost().cloned());
        restarted.judge(here(50, 100), LIMIT, "wednesday");
        assert!(!restarted.blocks(), "a restart forgets no approval");
        restarted.judge(here(0, 100), LIMIT, "thursday");
        assert_eq!(restarted.lost(), None);
        restarted.judge(here(100, 100), LIMIT, "friday");
        assert!(
            !restarted.approve(Some(&hash)) && restarted.blocks(),
            "the next is another one"
        );
    }
}
