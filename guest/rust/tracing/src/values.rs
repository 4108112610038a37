//! The fields of a span or event that are numbers or truth values.
//!
//! SPDX-License-Identifier: MIT

use std::fmt::Debug;

use tracing_core::field::{Field, Visit};

/// `tracing` has spans of at most 32 fields.
const FIELDS: usize = 32;

#[derive(Clone, Copy)]
pub enum Value {
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
}

/// The names of fields that have values, and the values.
pub struct Values {
    fields: [(&'static str, Value); FIELDS],
    count: usize,
}

impl Default for Values {
    fn default() -> Values {
        Values { fields: [("", Value::Unsigned(0)); FIELDS], count: 0 }
    }
}

impl Values {
    /// The fields, in the order of the call site.
    pub fn fields(&self) -> &[(&'static str, Value)] {
        &self.fields[..self.count]
    }

    /// The value of a field. `near`: the place where the field probably is.
    pub fn get(&self, name: &str, near: usize) -> Option<Value> {
        let fields = self.fields();
        let guessed = fields.get(near).filter(|(each, _)| *each == name);
        guessed.or_else(|| fields.iter().find(|(each, _)| *each == name)).map(|(_, value)| *value)
    }

    fn put(&mut self, field: &Field, value: Value) {
        if let Some(place) = self.fields.get_mut(self.count) {
            *place = (field.name(), value);
            self.count += 1;
        }
    }
}

impl Visit for Values {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::Signed(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::Unsigned(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::Float(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Bool(value));
    }

    // Arguments of events cannot be texts.
    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

impl Value {
    /// The type of an argument in a definition.
    pub fn type_name(self) -> &'static str {
        match self {
            Value::Signed(_) => "i64",
            Value::Unsigned(_) => "u64",
            Value::Float(_) => "f64",
            Value::Bool(_) => "bool",
        }
    }

    /// The bits of an argument of the type `name`, as Rust converts numbers.
    pub fn word(self, name: &str) -> u64 {
        match (self, name) {
            (Value::Float(value), "f64") => value.to_bits(),
            (Value::Signed(value), "f64") => (value as f64).to_bits(),
            (Value::Unsigned(value), "f64") => (value as f64).to_bits(),
            (Value::Bool(value), "f64") => f64::from(u8::from(value)).to_bits(),
            (Value::Float(value), "u64") => value as u64,
            (Value::Float(value), _) => value as i64 as u64,
            (Value::Signed(value), _) => value as u64,
            (Value::Unsigned(value), _) => value,
            (Value::Bool(value), _) => value.into(),
        }
    }
}
