//! Closures as processors.

use std::marker::PhantomData;
use std::sync::Arc;

use super::context::ProcessorContext;
use super::fixed_key::{FixedKey, FixedKeyContext, FixedKeyProcessor};
use super::traits::{Data, Processor};
use crate::error::BoxError;

/// A closure and the handles of its stores, as a [`Processor`].
pub struct ProcessorFn<H, F, K, V, K2, V2> {
    handles: H,
    function: Arc<F>,
    records: PhantomData<fn(K, V) -> (K2, V2)>,
}

/// A processor from a closure that several tasks share.
pub fn process_fn<H, F, K, V, K2, V2>(
    handles: H,
    function: Arc<F>,
) -> ProcessorFn<H, F, K, V, K2, V2>
where
    F: Fn(&H, K, V, &mut ProcessorContext<'_, K2, V2>) -> Result<(), BoxError>,
{
    ProcessorFn { handles, function, records: PhantomData }
}

impl<H, F, K, V, K2, V2> Processor for ProcessorFn<H, F, K, V, K2, V2>
where
    H: Send + 'static,
    F: Fn(&H, K, V, &mut ProcessorContext<'_, K2, V2>) -> Result<(), BoxError>
        + Send
        + Sync
        + 'static,
    K: Data,
    V: Data,
    K2: Data,
    V2: Data,
{
    type KIn = K;
    type VIn = V;
    type KOut = K2;
    type VOut = V2;

    #[inline]
    fn process(
        &mut self,
        key: K,
        value: V,
        ctx: &mut ProcessorContext<'_, K2, V2>,
    ) -> Result<(), BoxError> {
        (self.function)(&self.handles, key, value, ctx)
    }
}

/// A closure and the handles of its stores, as a [`FixedKeyProcessor`].
pub struct FixedKeyFn<H, F, K, V, V2> {
    handles: H,
    function: Arc<F>,
    records: PhantomData<fn(K, V) -> V2>,
}

/// A fixed key processor from a closure that several tasks share.
pub fn process_values_fn<H, F, K, V, V2>(handles: H, function: Arc<F>) -> FixedKeyFn<H, F, K, V, V2>
where
    F: Fn(&H, FixedKey<K>, V, &mut FixedKeyContext<'_, K, V2>) -> Result<(), BoxError>,
{
    FixedKeyFn { handles, function, records: PhantomData }
}

impl<H, F, K, V, V2> FixedKeyProcessor for FixedKeyFn<H, F, K, V, V2>
where
    H: Send + 'static,
    F: Fn(&H, FixedKey<K>, V, &mut FixedKeyContext<'_, K, V2>) -> Result<(), BoxError>
        + Send
        + Sync
        + 'static,
    K: Data,
    V: Data,
    V2: Data,
{
    type Key = K;
    type VIn = V;
    type VOut = V2;

    #[inline]
    fn process(
        &mut self,
        key: FixedKey<K>,
        value: V,
        ctx: &mut FixedKeyContext<'_, K, V2>,
    ) -> Result<(), BoxError> {
        (self.function)(&self.handles, key, value, ctx)
    }
}
