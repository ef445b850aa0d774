//! Asks the collector over its API, as anybody could: which incidents are open, what is found.

use std::net::SocketAddr;
use std::time::Duration;

use mailsonar_collector::store::Incident;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::model::News;

/// How often.
const EVERY: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
struct Incidents {
    incidents: Vec<Incident>,
}

#[derive(Deserialize)]
struct Agents {
    findings: Vec<Finding>,
}

/// What the collector concludes that is no trouble of the service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Finding {
    /// Its kind, such as `agent_cut_off`.
    pub kind: String,
    /// Whom it is about.
    pub subject: String,
    /// A sentence for a person.
    pub words: String,
}

/// Asks until nobody listens.
pub async fn for_ever(collector: SocketAddr, news: mpsc::Sender<News>) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy().build()?;
    let url = |path: &str| format!("http://{collector}/api/v1/{path}");
    loop {
        let incidents = get::<Incidents>(&client, &url("incidents?state=open")).await;
        let agents = get::<Agents>(&client, &url("agents")).await;
        match (incidents, agents) {
            (Ok(Incidents { incidents }), Ok(Agents { findings })) => {
                if news.send(News::Standing { incidents, findings }).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            (Err(error), _) | (_, Err(error)) => tracing::warn!(%error, "the collector does not answer"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn get<T: DeserializeOwned>(client: &reqwest::Client, url: &str) -> reqwest::Result<T> {
    client.get(url).send().await?.error_for_status()?.json().await
}
