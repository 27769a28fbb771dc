//! File systems to try a store on: some of memory, and some on images that are files.
//!
//! They are mounted in a mount namespace of the process's own. It ends with the process, however that
//! ends, and takes the mounts and the loop devices along. So nothing is left that would have to be
//! cleaned up but an empty directory, and several runs do not see each other.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tetralog_core::fs::{DiskFs, Fs, OpenMode};

/// Set within the namespace.
const INSIDE: &str = "TETRALOG_PROOF_NAMESPACE";
/// What all file systems may take of memory together.
const MEMORY_MIB: u64 = 2048;

/// Where file systems are mounted.
#[derive(Debug)]
pub struct Room {
    base: Mount,
}

/// A mounted file system.
#[derive(Debug)]
pub struct Mount {
    path: PathBuf,
    mounted: bool,
}

/// An ext4 file system that is not mounted.
#[derive(Debug)]
pub struct Image {
    file: PathBuf,
    place: PathBuf,
}

/// A process as this one, within a namespace; `None` if this one is.
///
/// # Errors
/// Why there can be none.
pub fn inside() -> Result<Option<Command>, String> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(None);
    }
    let unshare = ["--mount", "--propagation", "private"];
    tool("unshare", &[&unshare[..], &["true"]].concat())?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new("unshare");
    command.args(unshare).arg(program).args(std::env::args_os().skip(1)).env(INSIDE, "1");
    Ok(Some(command))
}

impl Room {
    /// A room, and whether all that is needed is there: tried, not guessed.
    pub fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join("tetralog-proof");
        let room = Self { base: tmpfs(path, MEMORY_MIB)? };
        room.image(room.path(), "tried", 16)?.mount()?.unmount()?;
        Ok(room)
    }

    /// Its directory: a file system of memory.
    pub fn path(&self) -> &Path {
        &self.base.path
    }

    /// A file system of memory.
    pub fn memory(&self, name: &str, mib: u64) -> Result<Mount, String> {
        tmpfs(self.path().join(name), mib)
    }

    /// A fresh ext4 file system on a file within a directory. The file takes space as it is written.
    pub fn image(&self, within: &Path, name: &str, mib: u64) -> Result<Image, String> {
        let file = within.join(format!("{name}.img"));
        let size = format!("{mib}M");
        // An earlier one of the name is used no more.
        let _ = DiskFs.remove(&file);
        let layout = ["-q", "-m", "0", "-b", "4096", "-N", "1024", "-J", "size=4"];
        tool("mkfs.ext4", &[&layout[..], &[text(&file)?, &size]].concat())?;
        Ok(Image { file, place: self.path().join(name) })
    }
}

impl Image {
    /// Mounts it, through a loop device that goes when it is unmounted.
    pub fn mount(&self) -> Result<Mount, String> {
        mount(&["-t", "ext4", "-o", "loop", text(&self.file)?], self.place.clone())
    }
}

impl Image {
    /// Lets the loop device, while it is mounted, write each page alone: of a larger write for which its file
    /// has space in part, the kernel's loop driver reports success.
    pub fn write_pages_alone(&self) -> Result<(), String> {
        let told = |error: std::io::Error| format!("the loop device: {error}");
        for entry in std::fs::read_dir("/sys/block").map_err(told)? {
            let device = entry.map_err(told)?.path();
            let backing = std::fs::read_to_string(device.join("loop/backing_file"));
            if backing.is_ok_and(|file| Path::new(file.trim_end()) == self.file) {
                let file = DiskFs.open(&device.join("queue/max_sectors_kb"), OpenMode::Write);
                return file.and_then(|file| file.write_at(b"4", 0)).map_err(told);
            }
        }
        Err("there is no loop device for it".to_owned())
    }
}

impl Mount {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives a file system of memory another size.
    pub fn resize(&self, mib: u64) -> Result<(), String> {
        let options = format!("remount,size={mib}m");
        tool("mount", &["-o", &options, text(&self.path)?])
    }

    /// Unmounts it: nobody may use it any more.
    pub fn unmount(mut self) -> Result<(), String> {
        self.mounted = false;
        let path = text(&self.path)?.to_owned();
        let mut tried = tool("umount", &[&path]);
        for _ in 0..20 {
            if tried.is_ok() {
                break;
            }
            // The kernel may be about to let go of what a killed process had open.
            std::thread::sleep(Duration::from_millis(50));
            tried = tool("umount", &[&path]);
        }
        tried
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted {
            let _ = text(&self.path).and_then(|path| tool("umount", &["--lazy", path]));
        }
    }
}

fn tmpfs(path: PathBuf, mib: u64) -> Result<Mount, String> {
    mount(&["-t", "tmpfs", "-o", &format!("size={mib}m"), "tetralog-proof"], path)
}

fn mount(what: &[&str], path: PathBuf) -> Result<Mount, String> {
    std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    tool("mount", &[what, &[text(&path)?]].concat())?;
    Ok(Mount { path, mounted: true })
}

fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("{} is no text", path.display()))
}

/// Runs a tool of the system.
fn tool(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {}: {}", arguments.join(" "), said.trim()))
}
