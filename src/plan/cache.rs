//! Plans that ran before, bounded in bytes.
//!
//! Two steps, so that a hit parses nothing: the document (by role, text and
//! operation name) gives the variables' types; these and the request's
//! variables give the shape; document and shape give the plan.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::operation::variables::Declarations;
use crate::schema::tracked::stored::Allowed;

use super::Plan;

/// Longer documents and shapes are planned each time.
const MAX_DOCUMENT_BYTES: usize = 64 * 1024;
const MAX_SHAPE_BYTES: usize = 8 * 1024;

/// A document of a role, its variables resolved.
#[derive(Debug)]
pub struct CachedDocument {
    id: u64,
    pub declarations: Declarations,
    /// Whose request it may be.
    pub allowed: Allowed,
    bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct DocumentKey {
    schema: u64,
    operation: Option<Arc<str>>,
    text: Arc<str>,
}

#[derive(Hash)]
struct DocumentKeyRef<'a> {
    schema: u64,
    operation: Option<&'a str>,
    text: &'a str,
}

impl Equivalent<DocumentKey> for DocumentKeyRef<'_> {
    fn equivalent(&self, key: &DocumentKey) -> bool {
        self.schema == key.schema
            && self.operation == key.operation.as_deref()
            && *self.text == *key.text
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PlanKey {
    document: u64,
    shape: Box<[u8]>,
}

#[derive(Hash)]
struct PlanKeyRef<'a> {
    document: u64,
    shape: &'a [u8],
}

impl Equivalent<PlanKey> for PlanKeyRef<'_> {
    fn equivalent(&self, key: &PlanKey) -> bool {
        self.document == key.document && *self.shape == *key.shape
    }
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<DocumentKey, Arc<CachedDocument>> for Bytes {
    fn weight(&self, key: &DocumentKey, document: &Arc<CachedDocument>) -> u64 {
        (128 + key.text.len() + document.bytes) as u64
    }
}

impl Weighter<PlanKey, Arc<Plan>> for Bytes {
    fn weight(&self, key: &PlanKey, plan: &Arc<Plan>) -> u64 {
        (128 + key.shape.len() + plan.weight()) as u64
    }
}

/// Counters for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlanCacheStats {
    pub hits: u64,
    pub misses: u64,
    pub evictions: u64,
    pub plans: u64,
    pub bytes: u64,
}

#[derive(Debug)]
pub struct PlanCache {
    documents: Cache<DocumentKey, Arc<CachedDocument>, Bytes>,
    plans: Cache<PlanKey, Arc<Plan>, Bytes>,
    next: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    inserted: AtomicU64,
}

impl PlanCache {
    /// A cache that holds about `bytes`.
    pub fn new(bytes: u64) -> Self {
        let half = (bytes / 2).max(1);
        let entries = usize::try_from(half / 1024).unwrap_or(usize::MAX).clamp(16, 65_536);
        PlanCache {
            documents: Cache::with_weighter(entries, half, Bytes),
            plans: Cache::with_weighter(entries, half, Bytes),
            next: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            inserted: AtomicU64::new(0),
        }
    }

    pub fn document(
        &self,
        schema: u64,
        text: &str,
        operation: Option<&str>,
    ) -> Option<Arc<CachedDocument>> {
        self.documents.get(&DocumentKeyRef { schema, operation, text })
    }

    /// Remembers a document; one that is too long is returned but not kept.
    pub fn remember_document(
        &self,
        schema: u64,
        text: &str,
        operation: Option<&str>,
        declarations: Declarations,
        allowed: Allowed,
    ) -> Arc<CachedDocument> {
        let bytes = 96 + declarations.list.len() * 160;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let document = Arc::new(CachedDocument { id, declarations, allowed, bytes });
        if text.len() <= MAX_DOCUMENT_BYTES {
            let key =
                DocumentKey { schema, operation: operation.map(Arc::from), text: Arc::from(text) };
            self.documents.insert(key, document.clone());
        }
        document
    }

    pub fn plan(&self, document: &CachedDocument, shape: &[u8]) -> Option<Arc<Plan>> {
        let found = self.plans.get(&PlanKeyRef { document: document.id, shape });
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    pub fn remember_plan(&self, document: &CachedDocument, shape: Vec<u8>, plan: Arc<Plan>) {
        if shape.len() <= MAX_SHAPE_BYTES {
            self.inserted.fetch_add(1, Ordering::Relaxed);
            self.plans
                .insert(PlanKey { document: document.id, shape: shape.into_boxed_slice() }, plan);
        }
    }

    /// Counts a request whose document was not even known.
    pub fn count_miss(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    pub fn stats(&self) -> PlanCacheStats {
        let plans = self.plans.len() as u64;
        PlanCacheStats {
            evictions: self.inserted.load(Ordering::Relaxed).saturating_sub(plans),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            plans,
            bytes: self.plans.weight() + self.documents.weight(),
        }
    }
}
