//! Emits the spans and events of `tracing` through a hypertrace channel, for htrun to record.
//!
//! ```no_run
//! use tracing_subscriber::prelude::*;
//!
//! hypertrace::open(None).ok();
//! tracing_subscriber::registry().with(hypertrace_tracing::Layer::new()).init();
//! ```
//!
//! A span lasts from its creation until it is closed, whichever threads enter it. Its key is its number, which is the
//! first argument, `span`. Fields that are numbers or truth values become arguments, as far as the channel has room.
//! The first span or event of a call site determines these fields and their types. htrun knows the names without a file
//! of events. Without htrun, the layer does nothing.
//!
//! SPDX-License-Identifier: MIT

#![warn(missing_docs)]

mod kind;
mod values;

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use tracing_core::callsite::Identifier;
use tracing_core::span::{Attributes, Id};
use tracing_core::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use kind::Kind;
use values::Values;

/// The layer. Open the channel before the first span.
#[derive(Default)]
pub struct Layer {
    kinds: RwLock<HashMap<Identifier, Arc<Kind>>>,
}

impl Layer {
    /// A layer for the channel of this process.
    pub fn new() -> Layer {
        Layer::default()
    }

    fn kind(&self, metadata: &'static Metadata<'static>, values: &Values) -> Arc<Kind> {
        let site = metadata.callsite();
        if let Some(kind) = self.kinds.read().unwrap().get(&site) {
            return kind.clone();
        }
        let mut kinds = self.kinds.write().unwrap();
        kinds.entry(site).or_insert_with(|| Arc::new(Kind::new(metadata, values))).clone()
    }
}

/// What a span's extensions hold.
struct Open(Arc<Kind>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Layer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !hypertrace::is_open() {
            return;
        }
        let mut values = Values::default();
        attributes.record(&mut values);
        let kind = self.kind(attributes.metadata(), &values);
        kind.begin(id.into_u64(), &values);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Open(kind));
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if hypertrace::is_open() {
            let mut values = Values::default();
            event.record(&mut values);
            self.kind(event.metadata(), &values).instant(&values);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(span) = context.span(&id) {
            if let Some(Open(kind)) = span.extensions().get() {
                kind.end(id.into_u64());
            }
        }
    }
}
