//! The kubectl plugin `kubectl medical`: arguments in, text out.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

mod create_user;
mod render;
mod status;
mod table;

/// Works with `MedicalDeployment` resources.
#[derive(Parser)]
#[command(
    name = "kubectl medical",
    bin_name = "kubectl medical",
    version,
    after_help = "Examples:\n  kubectl medical render -f clinic.yaml\n  kubectl medical status clinic -n ward\n  kubectl medical create-user clinic -n ward --email doctor@example.org --role doctor < password.txt"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints every object that the operator would make of a resource; needs no cluster.
    Render(Render),
    /// Tells how a deployment is: its conditions, its children, its Secrets and backups.
    Status(Which),
    /// Creates a user of the reference application, by a Job with the rights of the database's owner.
    CreateUser(CreateUser),
}

#[derive(Args)]
struct Render {
    /// File with one MedicalDeployment; `-` reads standard input.
    #[arg(short = 'f', long = "filename", default_value = "-")]
    file: PathBuf,
    /// Namespace, when the file names none.
    #[arg(short, long, default_value = "default")]
    namespace: String,
}

/// Which deployment is meant.
#[derive(Args)]
struct Which {
    /// Name of the MedicalDeployment.
    name: String,
    /// Its namespace. Default: the one of the present context.
    #[arg(short, long)]
    namespace: Option<String>,
}

#[derive(Args)]
struct CreateUser {
    #[command(flatten)]
    which: Which,
    /// Address, the login name.
    #[arg(long)]
    email: String,
    /// What the user may do: doctor, nurse, radiologist, receptionist, patient, auditor or administrator.
    #[arg(long)]
    role: String,
    /// Id of the patient whose account it is; for the role patient only.
    #[arg(long, value_name = "ID")]
    patient: Option<String>,
    /// File that holds the password, at least 15 characters. Default: standard input.
    #[arg(long)]
    password_file: Option<PathBuf>,
    /// Succeed without a change when the address is taken.
    #[arg(long)]
    if_absent: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Render(render) => render::print(&render.file, &render.namespace),
        Command::Status(which) => status::print(&which.name, which.namespace).await,
        Command::CreateUser(user) => create_user::run(user).await,
    }
}
