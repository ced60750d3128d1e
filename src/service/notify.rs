//! Whoever is to be told what happens.

use std::sync::Arc;

use super::open::{Service, read_secret};
use crate::configuration::parts::Token;
use crate::notify::{Notifier, Surroundings};

impl Service {
    /// What tells the configured webhooks. It tells nothing until it is run.
    pub fn notifier(&self) -> Notifier {
        let variable = Arc::clone(&self.environment.variable);
        let surroundings = Surroundings {
            secret: Arc::new(move |from| match from {
                Token::File(path) => {
                    read_secret(path).map_err(|why| format!("{}: {why}", path.display()))
                }
                Token::Env(name) => variable(name)
                    .map(zeroize::Zeroizing::new)
                    .ok_or_else(|| format!("the environment variable {name} is not set")),
            }),
            clock: Arc::clone(&self.environment.clock),
            chance: Arc::new(rand::random::<f64>),
        };
        let (store, metrics) = (self.store.clone(), self.metrics.clone());
        Notifier::new(store, &self.configuration.notify, metrics, surroundings)
    }
}
