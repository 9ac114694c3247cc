//! Values that are kept for everybody, packed: what they have in common is referred to, not repeated.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What they have in common. Any text will do, and the nearer to a user as it is serialised, the smaller the
/// result. It is stored nowhere but in memory, so that it may change with any version.
const LIKE_MOST: &[u8] = include_bytes!("packed/like_most.json");

/// A packed value; equal bytes are equal values. What `Debug` shows is its size: the bytes hold what the value
/// holds, personal data too.
#[derive(Clone)]
pub struct Packed<T> {
    length: u32,
    bytes: Box<[u8]>,
    of: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Packed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packed({} bytes)", self.bytes.len())
    }
}

impl<T: Serialize + DeserializeOwned> Packed<T> {
    /// Packs a value.
    ///
    /// # Errors
    /// When it cannot be serialised, which nothing that was read can be the cause of.
    pub fn new(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self::of_json(&serde_json::to_vec(value)?))
    }

    /// Packs what was serialised by `serde_json`.
    pub fn of_json(json: &[u8]) -> Self {
        let bytes = lz4_flex::block::compress_with_dict(json, LIKE_MOST);
        Self {
            // Objects of the API server have 1.5 MiB at most.
            length: u32::try_from(json.len()).unwrap_or(u32::MAX),
            bytes: bytes.into_boxed_slice(),
            of: PhantomData,
        }
    }

    /// The value, equal to what was packed.
    pub fn open(&self) -> Option<T> {
        let length = self.length as usize;
        let json = lz4_flex::block::decompress_with_dict(&self.bytes, length, LIKE_MOST).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// Whether both were packed from the same: where not, the values may be equal all the same.
    pub fn is_like(&self, other: &Self) -> bool {
        self.length == other.length && self.bytes == other.bytes
    }

    /// How many bytes it takes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}
