//! The checked-in descriptions of queries are the ones of the migrated schema.

use serde_json::Value;
use sqlx::{AssertSqlSafe, Column, Either, Executor, SqlSafeStr, TypeInfo};

use crate::deployment::Deployment;

#[tokio::test]
async fn the_prepared_queries_describe_the_migrated_schema() {
    let deployment = Deployment::new().await;
    let mut owner = deployment.connect("medical_owner").await;
    let directory = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.sqlx")).unwrap();
    let mut seen = 0;
    for entry in directory {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let prepared: Value = serde_json::from_str(&text).unwrap();
        let query = prepared["query"].as_str().unwrap().to_owned();
        let found = owner
            .describe(AssertSqlSafe(query.clone()).into_sql_str())
            .await
            .unwrap();
        let columns: Vec<_> = found
            .columns()
            .iter()
            .map(|column| (column.name().to_owned(), column.type_info().name().to_owned()))
            .collect();
        let described: Vec<_> = prepared["describe"]["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| {
                (
                    column["name"].as_str().unwrap().to_owned(),
                    column["type_info"].as_str().unwrap().to_uppercase(),
                )
            })
            .collect();
        let names =
            |columns: &[(String, String)]| columns.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(
            names(&columns),
            names(&described),
            "run app/prepare-queries.sh: {query}"
        );
        let parameters = match found.parameters() {
            Some(Either::Left(parameters)) => parameters.len(),
            Some(Either::Right(count)) => count,
            None => 0,
        };
        let expected = prepared["describe"]["parameters"]["Left"]
            .as_array()
            .unwrap()
            .len();
        assert_eq!(parameters, expected, "run app/prepare-queries.sh: {query}");
        let nullable: Vec<_> = (0..columns.len()).map(|index| found.nullable(index)).collect();
        let expected: Vec<_> = prepared["describe"]["nullable"]
            .as_array()
            .unwrap()
            .iter()
            .map(Value::as_bool)
            .collect();
        assert_eq!(nullable, expected, "run app/prepare-queries.sh: {query}");
        seen += 1;
    }
    assert!(seen > 0);
}
