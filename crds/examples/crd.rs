//! Prints the CustomResourceDefinition as YAML.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{}", medical_crds::generate::yaml()?);
    Ok(())
}
