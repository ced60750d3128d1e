//! Taking documents over: after a run that ended well, or at once when nothing had to change.

use super::error::ServiceError;
use super::open::Service;
use super::planning::{Made, Prepared};
use super::recipe::Recipe;
use crate::document::Document;
use crate::ids::ClusterName;
use crate::ledger::Action;
use crate::plan::Ownership;
use crate::store::{NewDocument, Owned, Put, Transaction};

impl Service {
    /// Takes the documents over without a run. Returns the keys of those that are new, changed or gone, and the record's number.
    pub(super) async fn accept_without_run(
        &self,
        recipe: &Recipe,
        made: &Made,
    ) -> Result<(Vec<String>, Option<u64>), ServiceError> {
        if recipe.undoes().is_some() {
            return Ok((Vec::new(), None));
        }
        let Made { plan, from, world } = made;
        let after = from
            .ownership
            .after(plan, &from.items, &from.secrets, world);
        let mut tx = self.store.begin().await?;
        let changed = self
            .put_documents(&mut tx, recipe, from, &plan.cluster)
            .await?;
        let owned = self
            .put_ownership(&mut tx, &plan.cluster, &from.ownership, &after)
            .await?;
        if changed.is_empty() && !owned {
            tx.rollback().await?;
            return Ok((changed, None));
        }
        let mut detail =
            serde_json::json!({ "source": recipe.source, "documents": changed, "steps": 0 });
        tell_moves(&mut detail, &from.ownership, &after);
        let subject = format!("cluster/{}", plan.cluster);
        let record = self
            .record(
                &mut tx,
                &recipe.submitter,
                Action::DocumentSubmitted,
                &subject,
                None,
                detail,
            )
            .await?;
        tx.commit().await?;
        Ok((changed, Some(record.seq)))
    }

    /// Stores the wanted documents and removes the removed ones. Returns the keys of those that changed.
    pub(super) async fn put_documents(
        &self,
        tx: &mut Transaction,
        recipe: &Recipe,
        from: &Prepared,
        cluster: &ClusterName,
    ) -> Result<Vec<String>, ServiceError> {
        let mut changed = Vec::new();
        for document in &from.wanted {
            let source = from
                .items
                .iter()
                .find(|item| item.key == document.key().to_string())
                .map(|item| item.source.as_str());
            let new = stored_form(document, source.unwrap_or(&recipe.source), cluster)?;
            let put = match self.taken_with_its_name(tx, document, &new).await? {
                Some(from) => tx.take_over_document(&new, &from, self.now()).await?,
                None => tx.put_document(&new, self.now()).await?,
            };
            match put {
                Put::Created { .. } | Put::Changed { .. } => {
                    changed.push(document.key().to_string())
                }
                Put::Unchanged { .. } => {}
            }
        }
        for document in &from.removed {
            tx.remove_document(
                cluster,
                document.kind().as_str(),
                &document.metadata.name,
                self.now(),
            )
            .await?;
            changed.push(document.key().to_string());
        }
        Ok(changed)
    }

    /// The source that has a document of this name, where the document takes over from it.
    async fn taken_with_its_name(
        &self,
        tx: &mut Transaction,
        document: &Document,
        new: &NewDocument,
    ) -> Result<Option<String>, ServiceError> {
        let stored = tx.document(&new.cluster, &new.kind, &new.name).await?;
        let from = stored.map(|stored| stored.document.source);
        Ok(from.filter(|from| *from != new.source && names(document, from)))
    }

    /// Writes what differs between two ownerships. Returns whether anything did.
    pub(super) async fn put_ownership(
        &self,
        tx: &mut Transaction,
        cluster: &ClusterName,
        before: &Ownership,
        after: &Ownership,
    ) -> Result<bool, ServiceError> {
        let mut changed = false;
        for object in before
            .objects
            .keys()
            .filter(|object| !after.objects.contains_key(*object))
        {
            // Somebody else may have taken it over since ownership was read.
            let now = tx.owner(cluster, object).await?.map(|owned| owned.source);
            if now.as_ref() == before.objects.get(object).map(|owned| &owned.source) {
                changed |= tx.disown(cluster, object).await?;
            }
        }
        for (object, owned) in &after.objects {
            if before.objects.get(object) == Some(owned) {
                continue;
            }
            changed = true;
            let from = before
                .objects
                .get(object)
                .map_or(&owned.source, |o| &o.source);
            let row = Owned {
                cluster: cluster.clone(),
                object: object.clone(),
                source: owned.source.clone(),
                identity: serde_json::to_string(owned)?,
                last_applied: serde_json::to_string(&owned.managed)?,
                updated: self.now(),
            };
            tx.own_from(&row, from).await?;
        }
        Ok(changed)
    }
}

/// Adds to a record's detail which objects went from one document to another, if any did.
pub(super) fn tell_moves(detail: &mut serde_json::Value, before: &Ownership, after: &Ownership) {
    let moves: Vec<serde_json::Value> = after
        .objects
        .iter()
        .filter_map(|(object, now)| Some((object, before.objects.get(object)?, now)))
        .filter(|(_, was, now)| !was.is_of(&now.document, &now.source))
        .map(|(object, was, now)| {
            serde_json::json!({
                "object": object, "from": was.document, "fromSource": was.source, "to": now.document, "toSource": now.source,
            })
        })
        .collect();
    if let (false, Some(detail)) = (moves.is_empty(), detail.as_object_mut()) {
        detail.insert("moved".to_owned(), moves.into());
    }
}

/// Whether a document takes over from this source, or from its namesake there.
pub(super) fn names(document: &Document, source: &str) -> bool {
    let whole = || format!("{source}/{}", document.key());
    let named = document.take_over();
    named.is_some_and(|named| named == source || named == whole())
}

pub(super) fn stored_form(
    document: &Document,
    source: &str,
    cluster: &ClusterName,
) -> Result<NewDocument, ServiceError> {
    Ok(NewDocument {
        cluster: cluster.clone(),
        kind: document.kind().as_str().to_owned(),
        name: document.metadata.name.clone(),
        source: source.to_owned(),
        text: document.text.clone(),
        json: serde_json::to_string(document)?,
        hash: document.hash.to_string(),
    })
}
