//! A sighting as the directory stores it: packed, but for what is asked of all of them at once.

use std::sync::Arc;

use crate::domain::names::fold_name;
use crate::domain::packed::Packed;
use crate::domain::sighting::Sighting;

/// With more brackets than this a value may be nested deeper than it can be read again.
const DEEP: usize = 100;

#[derive(Clone, Debug)]
enum Form<T> {
    Packed(Packed<T>),
    /// What does not come back as it was.
    Whole(Box<T>),
}

/// One sighting.
#[derive(Clone, Debug)]
pub struct Stored<T> {
    id: Arc<str>,
    name: Option<Box<str>>,
    settled: bool,
    form: Form<T>,
}

impl<T: Sighting> Stored<T> {
    /// Stores a sighting.
    pub fn new(sighting: T) -> Self {
        let name = sighting.name().map(|name| fold_name(name).into_boxed_str());
        Self {
            id: sighting.id().into(),
            settled: sighting.same_state(&sighting),
            name,
            form: form(sighting),
        }
    }

    /// The backend's id.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Its name, in lower case.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether another one like it tells nothing new: not so where something about it is to be looked at.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// The sighting, as it was stored.
    pub fn open(&self) -> Option<T> {
        match &self.form {
            Form::Packed(packed) => packed.open(),
            Form::Whole(whole) => Some((**whole).clone()),
        }
    }

    /// What it takes in memory, in bytes, about.
    pub fn size(&self) -> usize {
        let name = self.name.as_deref().map_or(0, str::len);
        let form = match &self.form {
            Form::Packed(packed) => packed.size(),
            // Rare, and seldom large: its text is near enough.
            Form::Whole(whole) => serde_json::to_vec(whole).map_or(0, |json| json.len()),
        };
        size_of::<Self>() + self.id.len() + name + form
    }

    /// Whether it is the same sighting, to the letter.
    pub fn is_like(&self, other: &Self) -> bool {
        match (&self.form, &other.form) {
            (Form::Packed(one), Form::Packed(other)) => one.is_like(other),
            _ => false,
        }
    }
}

fn form<T: Sighting>(sighting: T) -> Form<T> {
    let Ok(json) = serde_json::to_vec(&sighting) else {
        return Form::Whole(Box::new(sighting));
    };
    let packed = Packed::of_json(&json);
    let opening = |byte: &&u8| matches!(**byte, b'{' | b'[');
    let brackets = json.iter().filter(opening).count();
    if brackets > DEEP && packed.open().is_none() {
        return Form::Whole(Box::new(sighting));
    }
    Form::Packed(packed)
}
