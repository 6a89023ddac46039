//! docs/GETTING_STARTED.md, typed as it stands there, by somebody who may use `sudo`, on a machine on which nothing runs yet.

use std::process::Command;

use crate::support::pages::{Page, assert_shaped_like};

/// What `make test` can't do in its time is to download and unpack: there, `apt-get` starts what is installed already, as the
/// packages' own scripts do. scripts/check-getting-started.sh leaves nothing out.
const MACHINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/book/clean_machine.sh");

/// From nothing to an order that is fulfilled, the page promises at most so many.
const MOST_COMMANDS: usize = 5;

/// Caught, when seeded: a wrong socket folder, a role of another name, `submit` without `-`, and a sixth command.
#[test]
fn an_order_is_fulfilled_on_a_clean_machine() {
    let mut page = Page::of("docs/GETTING_STARTED.md", "an_order_is_fulfilled_on_a_clean_machine");
    let [install, tables, run, submit, look, clean_up] = [(); 6].map(|()| page.next());
    let commands: usize = [&install, &tables, &run, &submit].iter().map(|block| block.commands().len()).sum();
    assert!(commands <= MOST_COMMANDS, "{commands} commands until an order is fulfilled");

    let script = format!(
        "set -euo pipefail\n{}\n{}\n{} &\nworker=$!\necho = submit\n{}\n\
         for _ in $(seq 600); do if [ \"$(psql -qtAXc 'SELECT status FROM orders' orders)\" = fulfilled ]; then break; fi; \
         sleep 0.1; done\n\
         echo = look\n{}\nkill $worker\nwait $worker\necho = clean up\n{}",
        install.text(),
        tables.text(),
        run.text().trim_end(),
        submit.text(),
        look.text(),
        clean_up.text()
    );
    let binary = env!("CARGO_BIN_EXE_fulfillment-worker");
    let output = own_machine().args([MACHINE, binary, "bash", "-c", &script]).output().expect("unshare");

    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let after = |heading| said.split_once(heading).unwrap_or_else(|| panic!("no {heading:?}: {said}")).1;
    assert_shaped_like(submit.shown.as_deref().expect("what `submit` says"), after("= submit\n"));
    let looked = after("= look\n");
    assert!(looked.starts_with("order     1   fulfilled"), "{looked}");
    assert_shaped_like(look.shown.as_deref().expect("a metric"), looked);
    assert_eq!(after("= clean up\n").trim(), "", "something is left in Redis");
}

/// Runs what follows as root, in namespaces of its own, for five minutes at most. `make test` needs root or sudo anyway.
fn own_machine() -> Command {
    let unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"];
    let ways = [&["timeout", "--kill-after=5", "300"][..], &["sudo", "-n", "timeout", "--kill-after=5", "300"]];
    for way in ways {
        let command = |more: &[&str]| {
            let mut command = Command::new(way[0]);
            command.args(&way[1..]).args(unshare).args(more);
            command
        };
        if command(&["true"]).output().is_ok_and(|tried| tried.status.success()) {
            return command(&[]);
        }
    }
    panic!("root may make no namespaces here, so the page's commands can't be tried: {unshare:?}");
}
