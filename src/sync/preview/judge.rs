//! What the policies in force would say of a preview's writes, as whoever will apply them.

use kube::api::Api;
use provost_delivery::plan::Action;
use provost_policy::text;

use super::super::desired::Desired;
use super::super::error::Error;
use super::super::precheck::Precheck;
use super::super::projects::service_account_of;
use super::{Previewed, Step};
use crate::api::argoproj::{AppProject, Application, ApplicationSpec};
use crate::cluster::Cluster;
use crate::policies::Admission;

/// Judges what a preview would write.
pub struct Judge {
    precheck: Precheck,
    /// The cluster, as whoever will write.
    actor: Cluster,
}

// === impl Judge ===

impl Judge {
    /// Judges as the service account that the Application's project names, where the project is found in one of the
    /// control namespaces and can be read; otherwise as who asks.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub async fn new(
        admission: Admission,
        cluster: &Cluster,
        subject: Option<(&Application, &ApplicationSpec)>,
        control_namespaces: &[String],
    ) -> Result<Self, Error> {
        let mut actor = cluster.clone();
        if let Some((application, spec)) = subject {
            let own = application.metadata.namespace.iter();
            for namespace in own.chain(control_namespaces) {
                let api: Api<AppProject> = Api::namespaced(cluster.client().clone(), namespace);
                // One that cannot be read tells nothing of who will write.
                let found = cluster
                    .ask("read the AppProject", api.get_opt(&spec.project))
                    .await;
                if let Ok(Some(project)) = found {
                    let account = service_account_of(&project, spec.namespace.as_deref().unwrap_or_default());
                    if let Some(account) = account {
                        actor = cluster.as_service_account(&account.namespace, &account.name);
                    }
                    break;
                }
            }
        }
        Ok(Self {
            precheck: Precheck::new(admission, cluster).await?,
            actor,
        })
    }

    /// What denies the write of an object; `None` where nothing does, or nothing is written.
    pub(super) async fn denial(&self, desired: &Desired, previewed: &Previewed) -> Option<String> {
        let wanted = previewed.wanted.as_ref()?;
        let judged = self
            .precheck
            .judge(&self.actor, desired, previewed.live.as_ref(), wanted)
            .await;
        let is_written = match &previewed.step {
            Step::Planned(entry) => matches!(entry.action, Action::Create | Action::Update(_)),
            Step::Deferred(_) | Step::Refused(_) => true,
        };
        (is_written && !judged.denied.is_empty())
            .then(|| text::objections(judged.denied.iter().collect::<Vec<_>>(), &|_| None))
    }
}
