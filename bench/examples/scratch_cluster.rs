use bench::serve::kubernetes::*;
#[tokio::main]
async fn main() {
    let l = tokio::net::TcpListener::bind("127.0.0.1:18443").await.unwrap();
    let k = Kubernetes::new(KubernetesOptions::default());
    serve(l, k, Default::default()).await.unwrap();
}
