//! `man`: manual pages, one for each command.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command};

use super::failure::Failure;
use super::help;

/// Write a manual page for each command into a folder
#[derive(Debug, Args)]
#[command(hide = true)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker man /usr/local/share/man/man1")]
pub(super) struct Arguments {
    /// The folder, which is made where it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn man(arguments: &Arguments, mut command: Command) -> Result<(), Failure> {
    let failed = |path: &Path, error| Failure::Work(format!("can't write {}: {error}", path.display()));
    fs::create_dir_all(&arguments.folder).map_err(|error| failed(&arguments.folder, error))?;
    command.build();
    for (name, page) in pages(&command, command.get_name()) {
        let path = arguments.folder.join(name);
        fs::write(&path, page).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

/// The name of each page, and what it says.
fn pages(command: &Command, name: &str) -> Vec<(String, Vec<u8>)> {
    let mut page = Vec::new();
    // Writing into memory can't fail.
    let _ = clap_mangen::Man::new(command.clone().name(name.to_owned())).render(&mut page);
    let page = help::as_typed(&String::from_utf8_lossy(&page)).into_bytes();
    let mut pages = vec![(format!("{name}.1"), page)];
    for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
        pages.extend(pages_of(below, name));
    }
    pages
}

fn pages_of(command: &Command, above: &str) -> Vec<(String, Vec<u8>)> {
    pages(command, &format!("{above}-{}", command.get_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_options_and_examples() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = Arguments { folder: folder.path().join("man1") };
        man(&arguments, crate::cli::command()).unwrap();
        let page = |name: &str| fs::read_to_string(arguments.folder.join(name)).unwrap();
        assert!(page("fulfillment-worker.1").contains("fulfillment\\-worker\\-orders"));
        assert!(page("fulfillment-worker-dead-list.1").contains("\\-\\-reason"));
        let orders = page("fulfillment-worker-orders.1");
        assert!(orders.contains("EXTRA") && orders.contains("\\-\\-correlation\\-id 536365"), "{orders}");
        assert!(!orders.contains('\u{a0}'), "{orders}");
        let names: Vec<String> = crate::cli::command()
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(|command| format!("fulfillment-worker-{}.1", command.get_name()))
            .collect();
        assert!(names.iter().all(|name| arguments.folder.join(name).exists()), "{names:?}");
    }
}
