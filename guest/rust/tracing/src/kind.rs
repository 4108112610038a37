//! The events of one call site: their ids, and their arguments.
//!
//! SPDX-License-Identifier: MIT

use std::fmt::Write;

use tracing_core::Metadata;

use crate::values::Values;

const MOST_WORDS: usize = 64;

/// `begin`: the id of the event that begins a span, or of an event outside spans. `fields`: the name and the type of each
/// argument.
pub struct Kind {
    begin: u64,
    end: u64,
    fields: Vec<(&'static str, &'static str)>,
}

impl Kind {
    /// Defines the events of a call site. The first span or event of the call site has these values.
    pub fn new(metadata: &Metadata<'_>, values: &Values) -> Kind {
        let key = usize::from(metadata.is_span());
        let room = hypertrace::num_args().min(MOST_WORDS).saturating_sub(1 + key);
        let fields: Vec<_> = values.fields().iter().take(room).map(|(name, value)| (*name, value.type_name())).collect();
        let mut args: Vec<_> = fields.iter().map(|(name, kind)| format!("\"{}:{kind}\"", identifier(name))).collect();
        let mut text = String::new();
        let name = quoted(metadata.name());
        let mut end = 0;
        let begin = if metadata.is_span() {
            args.insert(0, "\"span:u64\"".into());
            end = define(&mut text, &name, "end", &args[..1]);
            define(&mut text, &name, "begin", &args)
        } else {
            define(&mut text, &name, "instant", &args)
        };
        // Without memory, or in a sandbox, the events have no names.
        hypertrace::define(&text).ok();
        Kind { begin, end, fields }
    }

    /// Emits the event that begins span `number`.
    pub fn begin(&self, number: u64, values: &Values) {
        let mut words = [0; MOST_WORDS];
        words[0] = number;
        self.put(&mut words[1..], values);
        hypertrace::emit_slice(self.begin, &words[..1 + self.fields.len()]);
    }

    /// Emits the event that ends span `number`.
    pub fn end(&self, number: u64) {
        hypertrace::emit_slice(self.end, &[number]);
    }

    /// Emits an event that does not belong to a span.
    pub fn instant(&self, values: &Values) {
        let mut words = [0; MOST_WORDS];
        self.put(&mut words, values);
        hypertrace::emit_slice(self.begin, &words[..self.fields.len()]);
    }

    fn put(&self, words: &mut [u64], values: &Values) {
        for (place, (name, kind)) in self.fields.iter().enumerate() {
            words[place] = values.get(name, place).map_or(0, |value| value.word(kind));
        }
    }
}

/// Adds the definition of an event, and returns its id.
fn define(text: &mut String, name: &str, phase: &str, args: &[String]) -> u64 {
    let args = args.join(", ");
    let id = id(&[name, phase, &args]);
    let key = if phase == "instant" { "" } else { "key = \"span\"\n" };
    write!(text, "[[event]]\nid = {id}\nname = \"{name}\"\nphase = \"{phase}\"\nargs = [{args}]\n{key}").unwrap();
    id
}

/// An id that is the same in all processes (FNV-1a) and differs from the small numbers that people choose.
fn id(words: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in words.join("\0").bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    hash | 1 << 63
}

/// The name without dots, which names of fields may contain.
fn identifier(name: &str) -> String {
    name.replace(|each: char| !each.is_ascii_alphanumeric(), "_")
}

fn quoted(name: &str) -> String {
    name.replace(char::is_control, "?").replace('\\', "\\\\").replace('"', "\\\"")
}
