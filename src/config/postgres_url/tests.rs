use super::*;

fn variables(set: &[(&'static str, &'static str)]) -> Variables {
    let value = |name: &str| {
        Ok::<_, ()>(
            set.iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
                .filter(|it| !it.is_empty()),
        )
    };
    Variables::read(value).unwrap()
}

fn exposed_with(text: &str, set: &[(&'static str, &'static str)]) -> String {
    parse(text, &variables(set)).unwrap_or_else(|problem| panic!("{text}: {problem}")).expose().to_string()
}

fn exposed(text: &str) -> String {
    exposed_with(text, &[])
}

fn refused(text: &str) -> String {
    match parse(text, &Variables::default()) {
        Ok(url) => panic!("{text} was taken as {}", url.expose()),
        Err(problem) => problem,
    }
}

#[test]
fn urls_with_one_host_stay_as_they_are() {
    for url in [
        "postgres://u:p%40ss@host:5433/db?application_name=a%20b&sslmode=require",
        "postgresql://u@%2Frun%2Fpostgresql/db",
        "postgres://[::1]:5432/db",
        "postgres://host",
        "postgres://u:p@10.0.0.1/db?hostaddr=10.0.0.2",
    ] {
        assert_eq!(exposed(url), url);
    }
}

#[test]
fn hosts_may_be_parameters_and_win_over_the_authority() {
    let socket = "postgresql://shop@%2Fsocket%2Fdir:5433/shop";
    assert_eq!(exposed("postgresql://shop@/shop?host=/socket/dir&port=5433"), socket);
    assert_eq!(exposed("postgresql://shop@/shop?port=5433&host=%2Fsocket%2Fdir"), socket);
    assert_eq!(exposed("postgresql://shop@:5433/shop?host=/socket/dir"), socket);
    assert_eq!(exposed("postgresql://shop@other/shop?host=/socket/dir&port=5433"), socket);
    assert_eq!(exposed("postgresql:///db?host=::1&sslmode=prefer"), "postgresql://[::1]/db?sslmode=prefer");
    assert_eq!(exposed("postgres://h/db?port=6000"), "postgres://h:6000/db");
    assert_eq!(exposed("postgres:///db?hostaddr=10.0.0.1,10.0.0.2"), "postgres://10.0.0.1/db?host=10.0.0.2&port=5432");
}

#[test]
fn user_password_and_database_may_be_parameters() {
    assert_eq!(exposed("postgresql:///?host=h&user=me&password=p%26w&dbname=shop"), "postgresql://me:p%26w@h/shop");
    assert_eq!(exposed("postgresql://a:b@h/c?user=me&password=pw&dbname=shop"), "postgresql://me:pw@h/shop");
}

#[test]
fn further_hosts_become_parameters_with_their_ports() {
    let with_mode = "postgres://u@a:1/db?host=b&port=2&host=c&port=5432&sslmode=disable";
    assert_eq!(exposed("postgres://u@a:1,b:2,c/db?sslmode=disable"), with_mode);
    assert_eq!(exposed("postgres://u@a,b/db?port=7"), "postgres://u@a:7/db?host=b&port=7");
    assert_eq!(exposed("postgres:///db?host=/s,b&port=1,2"), "postgres://%2Fs:1/db?host=b&port=2");
    assert_eq!(exposed("postgres://[::1]:1,[::2]:2/db"), "postgres://[::1]:1/db?host=%3A%3A2&port=2");
}

#[test]
fn pairs_mean_what_they_mean_to_libpq() {
    assert_eq!(
        exposed("host=/run/postgresql  port = 5433 user=me password='a b\\'c' dbname=shop sslmode=verify-full"),
        "postgres://me:a%20b%27c@%2Frun%2Fpostgresql:5433/shop?sslmode=verify-full"
    );
    assert_eq!(exposed("dbname=shop host=a,b"), "postgres://a/shop?host=b&port=5432");
    // Blanks around `=`, and a value that looks like a URL.
    assert_eq!(exposed("host=h application_name=x://y"), "postgres://h?application_name=x%3A%2F%2Fy");
    for (wrong, says) in [
        ("host=h password='hush", "a quote is not closed"),
        ("host=h hush", "a word without a value"),
        ("host=h pasword=hush", "unknown parameter `pasword`; did you mean `password`?"),
        ("dbname=shop", "names no server"),
    ] {
        let problem = refused(wrong);
        assert!(problem.contains(says) && !problem.contains("hush"), "{wrong}: {problem}");
    }
}

#[test]
fn all_hosts_are_shown_and_no_password() {
    let shown = |text| parse(text, &Variables::default()).unwrap().to_string();
    assert_eq!(shown("postgres://u@a:1,[::2]:2/db?password=hush"), "postgres://u:***@a:1,[::2]:2/db");
    assert_eq!(shown("postgresql://u@/db?host=/run/pg&port=1"), "postgresql://u@%2Frun%2Fpg:1/db");
    assert_eq!(shown("postgres://host/db?options=hush"), "postgres://host/db");
    assert_eq!(shown("host=h user=u password=hush"), "postgres://u:***@h");
}

#[test]
fn a_parameter_that_is_not_known_or_not_supported_is_named() {
    let problem = refused("postgres://u:12?hush&x@host/db");
    assert!(problem.contains("unknown parameter `***`") && !problem.contains("hush"), "{problem}");
    for (parameter, says) in [
        ("sslmod=require", "unknown parameter `sslmod`; did you mean `sslmode`?"),
        ("SSLMODE=require", "unknown parameter `SSLMODE`; did you mean `sslmode`?"),
        ("frobnicate=1", "unknown parameter `frobnicate`; there are host, hostaddr,"),
        ("sslcrl=/crl.pem", "`sslcrl` is not supported: the worker reads no revocation lists"),
        ("sslrootcert=system&sslmode=require", "`sslrootcert`, where it is system, needs sslmode=verify-full"),
        ("sslcert=/hush.pem", "`sslcert` needs sslkey too"),
        ("sslkey=/hush.pem", "`sslkey` needs sslcert too"),
        ("sslpassword=hush", "`sslpassword` is not supported: write the key without a passphrase"),
        ("sslcertmode=require", "`sslcertmode` must be one of disable, allow"),
        ("ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2", "is above ssl_max_protocol_version"),
        ("ssl_min_protocol_version=SSLv3", "`ssl_min_protocol_version` must be one of TLSv1,"),
        ("require_auth=hush", "`require_auth` must be a list of scram-sha-256"),
        ("require_auth=gss", "`require_auth` leaves no method"),
        ("host=/run&require_auth=md5", "`require_auth` can't be held over a Unix socket"),
        ("sslmode=REQUIRE", "`sslmode` must be one of disable, allow,"),
        ("schema=public", "`schema` is not supported: write options="),
        ("sslmode=hush", "`sslmode` must be one of disable, allow,"),
        ("connect_timeout=2s", "`connect_timeout` must be a whole number of seconds"),
        ("keepalives_idle=hush", "`keepalives_idle` must be a whole number of seconds"),
        ("gssencmode=require", "`gssencmode` can be disable, prefer alone"),
        ("target_session_attrs=prefer-standby", "takes no writes"),
        ("target_session_attrs=hush", "`target_session_attrs` must be one of any,"),
        ("sslnegotiation=direct", "`sslnegotiation` needs sslmode=require"),
        ("channel_binding=require&sslmode=disable", "`channel_binding` needs TLS"),
        ("hostaddr=hush", "`hostaddr` holds something that is no IP address"),
        ("hostaddr=10.0.0.1,10.0.0.2", "1 hosts and 2 of hostaddr"),
        ("host=db:hush", "no host; a port is written apart"),
        ("port=0", "invalid port number"),
        ("a@hush=1", "unknown parameter `***`"),
    ] {
        let problem = refused(&format!("postgres://u:hush@host/db?{parameter}"));
        assert!(problem.contains(says) && !problem.contains("hush"), "{parameter}: {problem}");
    }
}

#[test]
fn what_names_no_server_or_no_port_is_refused() {
    for wrong in ["postgres://u:hush@/db", "postgres:///db", "postgres://", "postgres://a,/db", "postgres:///db?host="]
    {
        let problem = refused(wrong);
        assert!(problem.contains("names no server") && !problem.contains("hush"), "{wrong}: {problem}");
    }
    for wrong in [
        "postgres://u:hush/x@host/db",
        "postgres://a:hush,b/db",
        "postgres://[::1/db",
        "postgres://[::1]hush/db",
        "postgres://a,b,c/db?port=1,2",
        "postgres:///db?host=%FF",
        "postgres://a/db?port=99999",
        "postgres://a/db%00hush",
        "postgres://a/db#hush",
        "postgres://a b/db",
    ] {
        let problem = refused(wrong);
        assert!(!problem.contains("hush"), "{wrong}: {problem}");
    }
}

#[test]
fn libpqs_variables_fill_the_gaps_and_nothing_else() {
    let all = [
        ("PGHOST", "pg"),
        ("PGPORT", "6000"),
        ("PGUSER", "shop"),
        ("PGPASSWORD", "p&w"),
        ("PGDATABASE", "orders"),
        ("PGSSLMODE", "require"),
        ("PGAPPNAME", "us"),
        ("PGCONNECT_TIMEOUT", "3"),
        ("PGOPTIONS", "-c a=b"),
        ("PGTARGETSESSIONATTRS", "read-write"),
    ];
    let parameters = "application_name=us&connect_timeout=3&options=-c%20a%3Db&sslmode=require\
                      &target_session_attrs=read-write";
    assert_eq!(exposed_with("postgres://", &all), format!("postgres://shop:p%26w@pg:6000/orders?{parameters}"));
    assert_eq!(
        exposed_with("postgres://me:pw@h:1/db?sslmode=disable&options=x", &all),
        "postgres://me:pw@h:1/db?application_name=us&connect_timeout=3&options=x&sslmode=disable\
         &target_session_attrs=read-write"
    );
    assert_eq!(filled("postgres://me:pw@h:1/db", &variables(&all[..6])), ["PGSSLMODE"]);
    assert_eq!(filled("host=h", &variables(&all[..2])), ["PGPORT"]);
}

#[test]
fn a_variable_never_leads_to_another_host_than_the_one_that_is_written_down() {
    let elsewhere = [("PGHOSTADDR", "10.9.9.9")];
    assert_eq!(exposed_with("postgres://h/db", &elsewhere), "postgres://h/db");
    assert_eq!(exposed_with("postgres:///db", &elsewhere), "postgres://10.9.9.9/db");
    // A port behind one host is no gap for the others.
    assert_eq!(exposed_with("postgres://a:1,b/db", &[("PGPORT", "7")]), "postgres://a:1/db?host=b&port=5432");
}

#[test]
fn a_variable_that_can_not_be_used_is_named() {
    for (set, says) in [
        (("PGSSLMODE", "hush"), "`PGSSLMODE` must be one of"),
        (("PGPORT", "hush"), "`PGPORT`"),
        (("PGSSLCERT", "hush"), "`PGSSLCERT` needs sslkey too"),
        (("PGREQUIREAUTH", "hush"), "`PGREQUIREAUTH` must be a list of"),
        (("PGSERVICE", "hush"), "`PGSERVICE` is not supported"),
        (("PGTARGETSESSIONATTRS", "standby"), "`PGTARGETSESSIONATTRS` asks for"),
        (("PGPASSFILE", "/nowhere/hush"), "`PGPASSFILE` names a password file that can't be read"),
    ] {
        let problem = parse("postgres://h/db", &variables(&[set])).unwrap_err();
        assert!(problem.contains(says) && !problem.contains("hush"), "{set:?}: {problem}");
    }
}

#[test]
fn a_password_file_gives_the_password_where_none_is_given() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "h:5432:db:me:from file\n").unwrap();
    let named = format!("postgres://me@h/db?passfile={}", percent_encoded(file.path().to_str().unwrap()));
    assert_eq!(exposed(&named), "postgres://me:from%20file@h/db");
    assert_eq!(exposed(&format!("{named}&password=given")), "postgres://me:given@h/db");
}

#[test]
fn text_for_postgres_is_told_from_other_text() {
    for text in
        ["postgres://", "postgresql://h", "POSTGRES://h", "host=h", "service = x", "host=h application_name=a://b"]
    {
        assert!(is_postgres(text), "{text}");
    }
    for text in ["", "h", "sqlite:a=b", "mysql://h/a=b", "redis://h?a=b", "a b=c", "./a=b"] {
        assert!(!is_postgres(text), "{text}");
    }
}

#[test]
fn what_asks_for_tls_twice_is_read_as_libpq_does_but_never_takes_verification_back() {
    for (parameters, mode) in [
        ("sslmode=disable&sslmode=require", "require"),
        ("sslmode=verify-full&sslmode=disable", "disable"),
        ("ssl=true", "require"),
        ("sslmode=disable&ssl=true", "require"),
        ("ssl=true&sslmode=verify-ca", "verify-ca"),
        ("sslmode=verify-full&ssl=true", "verify-full"),
        ("sslrootcert=system", "verify-full&sslrootcert=system"),
    ] {
        let sorted = |url: String| {
            url.replace("sslrootcert=system&sslmode=verify-full", "sslmode=verify-full&sslrootcert=system")
        };
        assert_eq!(sorted(exposed(&format!("postgres://h?{parameters}"))), format!("postgres://h?sslmode={mode}"));
    }
    assert_eq!(
        exposed_with("postgres://h?sslmode=verify-ca", &[("PGSSLMODE", "disable")]),
        "postgres://h?sslmode=verify-ca"
    );
}

#[test]
fn files_and_methods_are_taken_from_parameters_and_variables() {
    let all = [("PGSSLROOTCERT", "/ca"), ("PGSSLCERT", "/c"), ("PGSSLKEY", "/k"), ("PGREQUIREAUTH", "scram-sha-256")];
    let shown = "require_auth=scram-sha-256&sslcert=%2Fc&sslkey=%2Fk&sslrootcert=%2Fca";
    assert_eq!(exposed_with("postgres://h", &all), format!("postgres://h?{shown}"));
    assert_eq!(exposed("host=h sslcert='/a b' sslkey=/k"), "postgres://h?sslcert=%2Fa%20b&sslkey=%2Fk");
    assert_eq!(exposed("postgres://h?sslcert=/c&sslkey=/k&sslcertmode=disable"), "postgres://h");
}
