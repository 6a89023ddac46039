//! Servers whose administrator is no superuser, as managed ones are, and what `--grant-to` takes.

use fulfillment_worker::port::schema::Schema;

use crate::postgres_store::grants::Roles;
use crate::support::postgres::TestDatabase;
use crate::support::worker::binary;

/// Caught on the code before: `must be member of role "fulfillment_migrator"`.
#[tokio::test]
async fn an_administrator_who_is_no_superuser_makes_the_roles_as_often_as_they_like() {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    let name: String = client.query_one("SELECT current_database()", &[]).await.unwrap().get(0);
    let admin = format!("{name}_admin");
    let handed = format!(
        "CREATE ROLE {admin} LOGIN CREATEROLE; ALTER DATABASE {name} OWNER TO {admin};
         ALTER TABLE orders OWNER TO {admin}; ALTER TABLE products OWNER TO {admin};"
    );
    client.batch_execute(&handed).await.unwrap();
    let roles = Roles::by(database, Some(&admin)).await;
    roles.open("migrator").migrate().await.unwrap();
    roles.make_again().await;
    let members = "SELECT count(*) FROM pg_catalog.pg_auth_members WHERE member = $1::text::regrole";
    assert_eq!(client.query_one(members, &[&admin]).await.unwrap().get::<_, i64>(0), 0);
    drop(roles);
    let gone = format!("REASSIGN OWNED BY {admin} TO CURRENT_USER; DROP OWNED BY {admin}; DROP ROLE {admin};");
    let _ = client.batch_execute(&gone).await;
}

/// Caught on the code before: Postgres takes the quoted name for everybody as well, and everybody got the worker's rights.
#[test]
fn rights_are_given_to_one_role_and_not_to_everybody() {
    for (role, problem) in [("public", "is every role of the server; name one"), ("", "must be the name of a role")] {
        let arguments = ["migrate", "--print", "--store", "postgres://db/shop", "--grant-to", role];
        let output = binary(&arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), told.contains(problem)), (Some(2), true), "{told}");
        assert!(output.stdout.is_empty());
    }
}
