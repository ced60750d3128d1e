//! Secrets that documents name: whether they can be read, and by nobody else. Their values are not shown, and not even kept.

use std::collections::BTreeSet;

use super::{Diagnosis, Ward};
use crate::document::desired::SecretRef;
use crate::service::open::secret_of;
use crate::service::planning::secret_name;
use crate::service::recipe::{Wants, item, secrets};

/// Looks at every secret that the documents name.
pub(super) async fn check(ward: &Ward<'_>, found: &mut Diagnosis) {
    const NAME: &str = "secrets";
    let mut named: BTreeSet<SecretRef> = BTreeSet::new();
    for cluster in &ward.configuration.clusters {
        match ward.documents(cluster).await {
            Ok(documents) => {
                let items = documents
                    .iter()
                    .filter_map(|(document, source)| item(document, source, Wants::Present).ok());
                named.extend(secrets(&items.collect::<Vec<_>>()));
            }
            Err(why) => {
                found.failed(
                    "documents",
                    format!(
                        "those stored of cluster {} cannot be read: {why}",
                        cluster.name
                    ),
                );
            }
        }
    }
    let mut readable = 0;
    for from in &named {
        match secret_of(from, &ward.patient.environment) {
            Ok(_) => readable += 1,
            Err(why) => {
                found.failed(
                    NAME,
                    format!("the secret {} cannot be read: {why}", secret_name(from)),
                );
            }
        }
    }
    if readable > 0 {
        found.ok(
            NAME,
            format!("{readable} that documents name can be read by their owner only"),
        );
    }
}
