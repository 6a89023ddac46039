//! What a service that was taken over could do: no more than it does.

use crate::compose::{services, texts};

/// Caught, when seeded: a service without the anchor, and one with a tmpfs of its own in place of /tmp.
#[test]
fn every_service_has_a_read_only_root_no_capability_and_a_limit_of_processes() {
    for (name, service) in services() {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        assert!(service["cap_add"].is_null() && service["privileged"].is_null(), "{name}");
        assert_eq!(texts(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        assert!(service["pids_limit"].as_i64().is_some_and(|limit| (1..=512).contains(&limit)), "{name}");
        assert!(texts(&service["tmpfs"]).contains(&"/tmp"), "{name}: {}", service["tmpfs"]);
    }
}

/// Without a capability, an image that begins as root could not become the user that it is meant for.
#[test]
fn servers_that_their_images_start_as_root_start_as_their_own_user() {
    let services = services();
    assert_eq!((&services["redis"]["user"], &services["postgres"]["user"]), (&"redis".into(), &"postgres".into()));
}

/// The superuser is for the server's own files, which make the roles.
#[test]
fn no_service_has_the_superusers_password_and_no_two_share_a_user() {
    let mut users = std::collections::BTreeSet::new();
    for (name, service) in services() {
        let environment = service["environment"].as_object().into_iter().flatten();
        for (variable, value) in environment.filter_map(|(variable, value)| Some((variable, value.as_str()?))) {
            assert!(name == "postgres" || !value.contains("postgres-password"), "{name}: {variable}");
            if ["POSTGRES_USER", "DATA_SOURCE_USER"].contains(&variable.as_str()) {
                assert!(users.insert(value.to_owned()), "{name}: {value} is somebody else's");
            }
            if let Some((_, rest)) = value.split_once("redis://")
                && variable == "REDIS_URL"
            {
                let (user, _) = rest.split_once('@').expect("a user");
                assert!(users.insert(user.to_owned()), "{name}: {user} is somebody else's");
            }
        }
    }
    assert_eq!(users.len(), 6, "{users:?}");
}
