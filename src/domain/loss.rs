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

/// What is known of it at one connection.
#[derive(Debug, Default)]
pub struct Loss(Option<Lost>);

impl Loss {
    /// Takes up what was written down before a restart.
    pub fn restore(&mut self, lost: Option<Lost>) {
        self.0 = lost;
    }

    /// What a complete listing says: so many are missing of those that were recorded. `seed` makes the
    /// hash another one the next time.
    pub fn judge(&mut self, missing: u32, recorded: u32, limit: Limit, seed: &str) {
        let many = missing > limit.allowance(recorded);
        let known = self.0.take().filter(|_| many);
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
            loss.judge(missing, recorded, LIMIT, "now");
            assert_eq!(loss.blocks(), blocks, "{why}");
        }
    }

    #[test]
    fn an_approval_is_of_one_loss_and_lasts_until_it_is_over() {
        let mut loss = Loss::default();
        loss.judge(100, 100, LIMIT, "monday");
        let hash = loss.lost().unwrap().hash.clone();
        assert!(!loss.approve(Some("other")) && !loss.approve(None) && loss.blocks());
        assert!(loss.approve(Some(&hash)) && !loss.blocks());
        assert!(!loss.approve(Some(&hash)), "it is no news twice");
        loss.judge(60, 100, LIMIT, "tuesday");
        assert!(!loss.blocks(), "forty were made anew, the others follow");
        let mut restarted = Loss::default();
        restarted.restore(loss.lost().cloned());
        restarted.judge(50, 100, LIMIT, "wednesday");
        assert!(!restarted.blocks(), "a restart forgets no approval");
        restarted.judge(0, 100, LIMIT, "thursday");
        assert_eq!(restarted.lost(), None);
        restarted.judge(100, 100, LIMIT, "friday");
        assert!(
            !restarted.approve(Some(&hash)) && restarted.blocks(),
            "the next is another one"
        );
    }
}
