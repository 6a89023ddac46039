//! Functions and operators that somebody has planted where a role looks names up, before `public`: each raises an error when it
//! runs, or makes the statement that finds it an error.

use std::collections::BTreeSet;
use std::path::Path;

use tokio::sync::OnceCell;
use tokio_postgres::Client;

use super::postgres::TestDatabase;

/// Types that the worker's statements deal with, and those that the order API's columns may have.
const TYPES: &str =
    "int2 int4 int8 numeric float8 bool text varchar bpchar name \"char\" oid bytea timestamp timestamptz date
    interval int2[] int4[] int8[] text[] varchar[] bool[] float8[] timestamp[] timestamptz[] name[] oid[]";

/// Plants in the schema `$schema`, for the types in `$types` and functions in `$functions`.
const PLANT: &str = r#"
DO $plant$
DECLARE
    types text[] := string_to_array('{types}', ' ');
    functions text[] := string_to_array('{functions}', ' ');
    symbol text;
    one text;
    other text;
    planted text;
    number int := 0;
BEGIN
    FOREACH symbol IN ARRAY string_to_array('= <> < > <= >= + - * / || ~~ ~ ~* & %', ' ') LOOP
        FOREACH one IN ARRAY types LOOP
            FOREACH other IN ARRAY types LOOP
                -- Of these there is one in pg_catalog for the same types, which is found first.
                CONTINUE WHEN to_regoperator(format('pg_catalog.%s(%s,%s)', symbol, one, other)) IS NOT NULL
                           OR one LIKE '%[]' <> (other LIKE '%[]');
                number := number + 1;
                planted := format('%I.trap_%s(%s, %s)', '{schema}', number, one, other);
                EXECUTE format(
                    'CREATE FUNCTION %s RETURNS %s LANGUAGE plpgsql AS $f$BEGIN RAISE ''a planted operator ran: %s''; END$f$',
                    planted,
                    CASE WHEN symbol = ANY (ARRAY['+', '-', '*', '/', '||', '&', '%']) THEN one ELSE 'bool' END,
                    replace(format('%s(%s,%s)', symbol, one, other), '%', '%%'));
                EXECUTE format('CREATE OPERATOR %I.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = %I.trap_%s)',
                    '{schema}', symbol, one, other, '{schema}', number);
            END LOOP;
        END LOOP;
    END LOOP;
    FOREACH symbol IN ARRAY functions LOOP
        FOREACH one IN ARRAY types LOOP
            EXECUTE format('CREATE FUNCTION %I.%I(%s) RETURNS text LANGUAGE plpgsql AS '
                '$f$BEGIN RAISE ''a planted function ran''; END$f$', '{schema}', symbol, one);
            FOREACH other IN ARRAY ARRAY['text', 'int4', 'int8', 'interval', 'bool', 'oid', one] LOOP
                CONTINUE WHEN to_regprocedure(format('%I.%I(%s,%s)', '{schema}', symbol, one, other)) IS NOT NULL;
                EXECUTE format('CREATE FUNCTION %I.%I(%s, %s) RETURNS text LANGUAGE plpgsql AS '
                    '$f$BEGIN RAISE ''a planted function ran''; END$f$', '{schema}', symbol, one, other);
            END LOOP;
        END LOOP;
        EXECUTE format('CREATE FUNCTION %I.%I(text, text, text) RETURNS text LANGUAGE plpgsql AS '
            '$f$BEGIN RAISE ''a planted function ran''; END$f$', '{schema}', symbol);
    END LOOP;
END $plant$"#;

/// Every word before a parenthesis in the store's SQL, wherever it stands.
fn called() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/backend/postgres");
    let mut called = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("the store's sources").flatten() {
        let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
        for before in text.split('(') {
            let start = before.trim_end_matches(|letter: char| letter.is_ascii_lowercase() || letter == '_').len();
            called.insert(before.get(start..).unwrap_or_default().to_owned());
        }
    }
    called
}

/// Plants them in `schema`, which is made, with `more` types besides.
pub(crate) async fn plant(client: &Client, schema: &str, more: &str) {
    let called: Vec<String> = called().into_iter().collect();
    let known = "SELECT coalesce(string_agg(DISTINCT proname, ' '), '') FROM pg_proc
                 WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY ($1::text[])";
    let functions: String = client.query_one(known, &[&called]).await.unwrap().get(0);
    assert!(functions.split(' ').count() > 20, "{functions}");
    let types: Vec<&str> = TYPES.split_whitespace().chain(more.split_whitespace()).collect();
    let sql = PLANT.replace("{schema}", schema).replace("{types}", &types.join(" ")).replace("{functions}", &functions);
    client.batch_execute(&format!("CREATE SCHEMA {schema}; GRANT USAGE ON SCHEMA {schema} TO PUBLIC")).await.unwrap();
    client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{error:?}"));
}

/// A database with the given schema, and the URL of a role that finds planted ones first: they are in the schema of its own
/// name. The role may make the worker's tables, and everything with them.
pub(crate) async fn database() -> (TestDatabase, String) {
    static TEMPLATE: OnceCell<(TestDatabase, String)> = OnceCell::const_new();
    let (template, role) = TEMPLATE
        .get_or_init(async || {
            let database = TestDatabase::create().await;
            let client = database.connect().await;
            let role = format!("planted_{}", std::process::id());
            plant(&client, &role, "").await;
            let sql = format!(
                "CREATE ROLE {role} LOGIN; GRANT ALL ON orders, products TO {role};
                 GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
            );
            client.batch_execute(&sql).await.unwrap();
            (database, role)
        })
        .await;
    let database = template.copied().await;
    let create =
        format!("DO $$BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {role}', current_database()); END$$");
    database.connect().await.batch_execute(&create).await.unwrap();
    let mut url: url::Url = database.url().parse().unwrap();
    url.set_username(role).unwrap();
    (database, url.into())
}
