//! `Keys` of a program that was built without encryption: there can be none.

use turnwise::Result;

use super::Place;

#[derive(Clone, Debug)]
pub(crate) enum Keys {}

impl Keys {
    pub(super) fn has(&self, _: &str) -> bool {
        match *self {}
    }

    pub(super) fn ids(&self) -> String {
        match *self {}
    }

    pub(super) fn close(&self, _: Place<'_>, _: &str, _: &str) -> Result<String> {
        match *self {}
    }

    pub(super) fn open(&self, _: Place<'_>, _: &str, _: &str, _: &str) -> Option<String> {
        match *self {}
    }
}
