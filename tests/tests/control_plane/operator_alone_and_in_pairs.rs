//! What an operator tells about itself, and that of two only one acts.

use anyhow::ensure;
use k8s_openapi::api::core::v1::ServiceAccount;
use medical_tests::{eventually, in_namespace, waiting::seconds};
use serde_json::json;

use crate::operator_process::{self, Operator};

const LEADER: &str = "medical_operator_leader ";

#[tokio::test]
async fn the_metrics_tell_passes_watches_and_deployments_by_phase() {
    let _alone = operator_process::alone().await;
    in_namespace("metrics", async |lab| {
        let operator = Operator::start("metrics").await;
        eventually("ready to act", seconds(30), || operator.get("readyz")).await;
        lab.apply("clinic", json!({})).await.expect("accepted");
        eventually("the deployment is counted", seconds(30), || async {
            let progressing = operator
                .metric("medical_operator_deployments{phase=\"Progressing\"} ")
                .await?;
            ensure!(progressing >= 1.0, "{progressing} are progressing");
            let passes = operator
                .metric("medical_operator_reconciles_total{result=\"waiting\"} ")
                .await?;
            ensure!(passes >= 1.0, "{passes} passes");
            let watch = operator
                .metric("medical_operator_watch_state{kind=\"Deployment\"} ")
                .await?;
            ensure!((watch - 1.0).abs() < f64::EPSILON, "the watch is at {watch}");
            Ok(())
        })
        .await;
        let text = operator.get("metrics").await.expect("metrics");
        assert!(!text.contains(&lab.namespace), "a label names a namespace");
    })
    .await;
}

#[tokio::test]
async fn of_two_operators_one_acts_and_the_other_takes_over_when_it_is_killed() {
    let _alone = operator_process::alone().await;
    in_namespace("pair", async |lab| {
        let mut pair = vec![Operator::start("pair").await, Operator::start("pair").await];
        let leader = eventually("one leads", seconds(40), || async {
            let leading = [pair[0].metric(LEADER).await?, pair[1].metric(LEADER).await?];
            ensure!(leading.iter().sum::<f64>() > 0.5, "none leads yet");
            ensure!(leading.iter().sum::<f64>() < 1.5, "both lead");
            Ok(usize::from(leading[1] > 0.5))
        })
        .await;
        let killed = pair.remove(leader);
        drop(killed); // SIGKILL: the Lease stays behind and has to run out
        let survivor = &pair[0];
        assert!(
            survivor.metric(LEADER).await.expect("metrics") < 0.5,
            "it leads before the Lease ran out"
        );
        lab.apply("clinic", json!({})).await.expect("accepted");
        eventually("the other acts", seconds(60), || async {
            ensure!(survivor.metric(LEADER).await? > 0.5, "it does not lead yet");
            lab.api::<ServiceAccount>().get("clinic").await?;
            Ok(())
        })
        .await;
    })
    .await;
}
